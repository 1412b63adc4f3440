//! One page of a list, read as a stream, and how many objects the next one asks for.

use std::time::Duration;

use futures::AsyncBufReadExt as _;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use tokio::time::timeout;

use super::Source;
use super::items::{Item, Metadata, Splitter};
use super::lines::Body;

/// Until the answer begins, and from one part of it to the next.
const PATIENCE: Duration = Duration::from_secs(20);
/// Small, because nobody knows yet how large the objects are.
pub(super) const FIRST_LIMIT: u32 = 50;
const LIMIT_MOST: u32 = 500;
/// What a page is meant to have.
const PAGE_BYTES: usize = 4 << 20;
/// A page that is larger is left, and asked for again with fewer objects.
const PAGE_MOST_BYTES: usize = 64 << 20;

pub(super) struct Page {
    body: Body,
    splitter: Splitter,
    bytes: usize,
    items: usize,
}

/// What comes next of a page.
pub(super) enum Next {
    Item(Item),
    /// With fewer objects, please.
    TooLarge,
    End(Metadata),
}

impl Page {
    pub(super) async fn ask(
        client: &Client,
        source: &Source,
        limit: u32,
        more: Option<String>,
    ) -> Result<Self, String> {
        let params = ListParams {
            limit: Some(limit),
            continue_token: more,
            field_selector: source.fields.map(str::to_owned),
            label_selector: source.labels.clone(),
            ..ListParams::default()
        };
        let request = Request::new(&*source.path);
        let request = match source.metadata_only {
            true => request.list_metadata(&params),
            false => request.list(&params),
        };
        let request = request.map_err(|e| e.to_string())?;
        let body = timeout(PATIENCE, client.request_stream(request)).await;
        let body = body.map_err(|_| format!("no answer in {PATIENCE:?}"))?.map_err(|e| e.to_string())?;
        Ok(Self { body: Box::pin(body), splitter: Splitter::new(), bytes: 0, items: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Next, String> {
        let broken = |why: &str| format!("the list cannot be read: {why}");
        loop {
            if self.bytes > PAGE_MOST_BYTES && self.items > 1 {
                return Ok(Next::TooLarge);
            }
            let bytes = timeout(PATIENCE, self.body.fill_buf()).await;
            let bytes = bytes.map_err(|_| format!("the list stopped for {PATIENCE:?}"))?;
            let bytes = bytes.map_err(|e| broken(&e.to_string()))?;
            if bytes.is_empty() {
                return self.splitter.end().map(Next::End).map_err(broken);
            }
            let (taken, item) = self.splitter.take(bytes).map_err(broken)?;
            self.body.consume_unpin(taken);
            self.bytes += taken;
            if let Some(item) = item {
                self.items += 1;
                return Ok(Next::Item(item));
            }
        }
    }

    /// How many objects the next page asks for, by the size of those of this one.
    pub(super) fn next_limit(&self, limit: u32) -> u32 {
        next_limit(limit, self.bytes, self.items)
    }
}

fn next_limit(limit: u32, bytes: usize, items: usize) -> u32 {
    let Some(each) = bytes.checked_div(items) else { return limit };
    u32::try_from(PAGE_BYTES / each.max(1)).unwrap_or(LIMIT_MOST).clamp(1, LIMIT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: F-CTL-9
    #[test]
    fn pages_shrink_with_the_size_of_objects_and_grow_again() {
        assert_eq!(next_limit(50, 50 * 2_000, 50), 500);
        assert_eq!(next_limit(500, 500 * (1 << 20), 500), 4);
        assert_eq!(next_limit(4, 4 * (8 << 20), 4), 1);
        assert_eq!(next_limit(1, 2_000, 1), 500);
        assert_eq!(next_limit(50, 80, 0), 50);
    }
}
