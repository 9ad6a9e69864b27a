//! Enums that list themselves.

/// Declares an enum together with `ALL`, its variants in order: none can be left out.
macro_rules! declared {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[doc = $doc:literal])+ $(#[cfg($condition:meta)])? $variant:ident, )+
        }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $( $(#[doc = $doc])+ $(#[cfg($condition)])? $variant, )+
        }

        impl $name {
            /// Every variant, in the order of their declaration.
            pub const ALL: [Self; [$( $(#[cfg($condition)])? stringify!($variant), )+].len()] =
                [$( $(#[cfg($condition)])? Self::$variant, )+];
        }
    };
}

pub(super) use declared;
