//! The graphics processors of a node, as CUDA numbers them.

/// Which of them programs may use.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Those that this process may use: what CUDA_VISIBLE_DEVICES names, as a batch system sets it, or else those whose devices are
/// there.
pub fn all() -> Vec<String> {
    if let Ok(names) = std::env::var(VISIBLE) {
        return names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let number = |name: &str| name.strip_prefix("nvidia")?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    numbers.iter().map(u32::to_string).collect()
}
