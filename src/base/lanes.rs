//! The vector instructions that kernels are compiled for, chosen when the program runs.
//!
//! A kernel is plain code in one `#[inline(always)]` function, which `kernel!` compiles once for each
//! [`Lanes`]; so every CPU computes the same, and none meets an instruction that it does not have.

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// One value after the other: the reference that the others must equal.
    Scalar,
    /// What every CPU of this architecture has: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// 256 bits wide, with fused multiplications.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits wide, with the instructions for bytes and 64-bit numbers (F, BW, DQ, VL).
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Lanes {
    /// All that this CPU has, the widest last.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Scalar, Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt");
            if has_avx2 {
                all.push(Self::Avx2);
            }
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The widest that this CPU has.
    pub fn best() -> Self {
        *Self::all().last().expect("every CPU has the baseline")
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Baseline if cfg!(target_arch = "x86_64") => "SSE2",
            Self::Baseline if cfg!(target_arch = "aarch64") => "NEON",
            Self::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
        }
    }
}

/// `kernel!(lanes, scalar, vector(a: A, b: B) -> R)` calls `scalar(a, b)` with [`Lanes::Scalar`], and
/// otherwise `vector(a, b)` as compiled for these lanes. `vector` is an `#[inline(always)]` function.
macro_rules! kernel {
    ($lanes:expr, $scalar:path, $vector:ident($($name:ident: $type:ty),*) -> $result:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,popcnt")]
        fn avx2($($name: $type),*) -> $result {
            $vector($($name),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt")]
        fn avx512($($name: $type),*) -> $result {
            $vector($($name),*)
        }
        match $lanes {
            $crate::base::lanes::Lanes::Scalar => $scalar($($name),*),
            $crate::base::lanes::Lanes::Baseline => $vector($($name),*),
            // SAFETY: `Lanes::all` offers these lanes only where the CPU has their instructions.
            #[cfg(target_arch = "x86_64")]
            $crate::base::lanes::Lanes::Avx2 => unsafe { avx2($($name),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::base::lanes::Lanes::Avx512 => unsafe { avx512($($name),*) },
        }
    }};
}
pub(crate) use kernel;
