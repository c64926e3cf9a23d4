! Energy of an oscillator of mass 1, for parpy map --library:
!   gfortran -O3 -march=native -shared -fPIC oscillator.f90 -o oscillator.so
!   parpy map --from runs.csv:x,v --library ./oscillator.so:energy
!   parpy map --from runs.csv:x,v --library ./oscillator.so:energies --vectorized
!   parpy map --range 0..10 --library ./oscillator.so:steps --dtype i64 --answers i64
module oscillator
  use, intrinsic :: iso_c_binding
  implicit none
contains
  ! Of one row: an argument for each column, by value as C has it.
  pure function energy(x, v) bind(c) result(y)
    real(c_double), value :: x, v
    real(c_double) :: y
    y = 0.5_c_double * (v * v + x * x)
  end function

  ! Of n rows at once: an array for each column, and one for the answers.
  subroutine energies(x, v, y, n) bind(c)
    integer(c_size_t), value :: n
    real(c_double), intent(in) :: x(n), v(n)
    real(c_double), intent(out) :: y(n)
    y = 0.5_c_double * (v * v + x * x)
  end subroutine

  ! Of whole numbers: halving, or 3 n + 1, until 1 is reached.
  pure function steps(n) bind(c) result(count)
    integer(c_int64_t), value :: n
    integer(c_int64_t) :: count, m
    count = 0
    m = n
    do while (m > 1)
      m = merge(3 * m + 1, m / 2, mod(m, 2_c_int64_t) == 1)
      count = count + 1
    end do
  end function
end module
