//! Counters and bits: one atomic step from a number to the next.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::value_type::ValueType;

/// A 64-bit integer, as [`crate::Store::apply`] changes it: `u64` or `i64`. Stored in 8 bytes, little-endian.
pub trait Integer: Copy + private::Sealed {
    /// The type that a key gets which did not exist.
    const TYPE: ValueType;

    #[doc(hidden)]
    fn from_bits(bits: u64) -> Self;
    #[doc(hidden)]
    fn to_bits(self) -> u64;
    #[doc(hidden)]
    fn apply(self, operation: Operation<Self>) -> Option<Self>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for i64 {}
}

/// What becomes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<T> {
    /// The sum; beyond the greatest number it goes on at the least.
    Add(T),
    /// The sum; [`Error::Overflow`] beyond the greatest number.
    AddChecked(T),
    /// The difference; below the least number it goes on at the greatest.
    Sub(T),
    /// The difference; [`Error::Overflow`] below the least number.
    SubChecked(T),
    /// The bits that both have.
    And(T),
    /// The bits that either has.
    Or(T),
    /// The bits that one of them has.
    Xor(T),
    /// The bits that it has not.
    Not,
}

macro_rules! integer {
    ($type:ty, $value_type:expr) => {
        impl Integer for $type {
            const TYPE: ValueType = $value_type;

            fn from_bits(bits: u64) -> Self {
                bits as Self
            }

            fn to_bits(self) -> u64 {
                self as u64
            }

            fn apply(self, operation: Operation<Self>) -> Option<Self> {
                match operation {
                    Operation::Add(by) => Some(self.wrapping_add(by)),
                    Operation::AddChecked(by) => self.checked_add(by),
                    Operation::Sub(by) => Some(self.wrapping_sub(by)),
                    Operation::SubChecked(by) => self.checked_sub(by),
                    Operation::And(with) => Some(self & with),
                    Operation::Or(with) => Some(self | with),
                    Operation::Xor(with) => Some(self ^ with),
                    Operation::Not => Some(!self),
                }
            }
        }
    };
}

integer!(u64, ValueType::BigUint);
integer!(i64, ValueType::BigInt);

/// The number after an operation; one that does not exist yet is 0.
pub(crate) fn result<T: Integer>(operation: Operation<T>, before: Option<u64>) -> Result<u64> {
    T::from_bits(before.unwrap_or(0))
        .apply(operation)
        .map(T::to_bits)
        .ok_or(Error::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_wrap_or_fail_as_asked() {
        assert_eq!(result(Operation::Add(1_u64), Some(u64::MAX)), Ok(0));
        assert_eq!(
            result(Operation::AddChecked(1_u64), Some(u64::MAX)),
            Err(Error::Overflow)
        );
        assert_eq!(result(Operation::AddChecked(1_i64), Some(u64::MAX)), Ok(0), "-1 + 1");
        assert_eq!(
            result(Operation::AddChecked(1_i64), Some(i64::MAX as u64)),
            Err(Error::Overflow)
        );
        assert_eq!(result(Operation::Sub(1_u64), None), Ok(u64::MAX));
        assert_eq!(result(Operation::SubChecked(1_u64), None), Err(Error::Overflow));
        assert_eq!(result(Operation::SubChecked(1_i64), None), Ok(u64::MAX), "-1");
    }

    #[test]
    fn bits_are_taken_together() {
        let before = Some(0b1100);
        assert_eq!(result(Operation::And(0b1010_u64), before), Ok(0b1000));
        assert_eq!(result(Operation::Or(0b1010_u64), before), Ok(0b1110));
        assert_eq!(result(Operation::Xor(0b1010_u64), before), Ok(0b0110));
        assert_eq!(result(Operation::Not::<u64>, before), Ok(!0b1100));
        assert_eq!(result(Operation::Not::<i64>, None), Ok(u64::MAX));
    }
}
