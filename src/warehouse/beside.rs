//! Two pieces of a load side by side: what is published in order, and what comes in aside meanwhile.

use futures::future::{Either, select};

use crate::error::Result;

/// Connections for what is published in order, and for what comes in aside.
pub(super) fn split(connections: usize, in_order: bool, aside: bool) -> (usize, usize) {
    let connections = connections.max(1);
    match (in_order, aside) {
        (true, true) => (1, connections.saturating_sub(1).max(1)),
        (true, false) => (connections, 0),
        (false, _) => (0, connections),
    }
}

/// Does both. What comes in aside may fail without taking back or holding up what is published in order.
pub(super) async fn beside<A, B>(
    in_order: impl Future<Output = Result<A>>,
    aside: impl Future<Output = Result<B>>,
) -> Result<(A, B)> {
    match select(Box::pin(in_order), Box::pin(aside)).await {
        Either::Left((done, aside)) => Ok((done?, aside.await?)),
        Either::Right((came_in, in_order)) => Ok((in_order.await?, came_in?)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Error;

    #[test]
    fn one_connection_is_left_for_what_is_published_in_order() {
        assert_eq!(split(8, true, true), (1, 7));
        assert_eq!(split(8, true, false), (8, 0));
        assert_eq!(split(8, false, true), (0, 8));
        assert_eq!(split(1, true, true), (1, 1));
        assert_eq!(split(0, false, true), (0, 1));
    }

    #[tokio::test]
    async fn what_fails_aside_lets_the_others_be_published_first() {
        let published = Cell::new(0);
        let in_order = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                published.set(published.get() + 1);
            }
            Ok(())
        };
        let outcome = beside(in_order, async { Err::<(), _>(Error::data("aside")) }).await;
        assert_eq!((outcome.unwrap_err().to_string(), published.get()), (Error::data("aside").to_string(), 3));
    }

    #[tokio::test]
    async fn what_fails_in_order_ends_what_comes_in_aside() {
        let aside = async {
            std::future::pending::<()>().await;
            Ok(())
        };
        let outcome = beside(async { Err::<(), _>(Error::data("in order")) }, aside).await;
        assert_eq!(outcome.unwrap_err().to_string(), Error::data("in order").to_string());
    }
}
