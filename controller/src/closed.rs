//! Label values that are all known: an enum that can list itself, so that the reference of metrics forgets none.

use std::hash::Hash;

use prometheus_client::metrics::family::{Family, MetricConstructor};

/// A label that can only have these values.
pub trait Closed: Copy + 'static {
    const ALL: &'static [Self];
}

/// An enum as a label's values.
macro_rules! label {
    ($(#[$about:meta])* $visible:vis enum $name:ident { $($(#[$each:meta])* $value:ident,)+ }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, ::prometheus_client::encoding::EncodeLabelValue,
        )]
        $visible enum $name {
            $($(#[$each])* $value,)+
        }

        impl $crate::closed::Closed for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];
        }
    };
}

pub(crate) use label;

/// Every pair of values of two labels.
pub(crate) fn pairs<A: Closed, B: Closed>() -> impl Iterator<Item = (A, B)> {
    A::ALL.iter().flat_map(|a| B::ALL.iter().map(move |b| (*a, *b)))
}

/// Begins a series, as its first count would.
pub(crate) fn begin<S: Clone + Hash + Eq, M: Clone, C: MetricConstructor<M>>(
    family: &Family<S, M, C>,
    series: &S,
) {
    drop(family.get_or_create(series));
}
