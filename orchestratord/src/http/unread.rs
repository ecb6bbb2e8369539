//! Answers to requests whose body was not read to its end: such a connection cannot take another request, and says
//! so. Without that word a client that keeps connections sends its next request into one that is about to be closed.
//!
//! Rules: ORCH-SEC-10

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Knows whether the body of a request has been read to its end.
pub(super) struct BodyRead(Option<Arc<AtomicBool>>);

impl BodyRead {
    /// Watches the body of `request`, where it has one.
    pub(super) fn watch(request: Request) -> (Self, Request) {
        if request.body().is_end_stream() {
            return (Self(None), request);
        }
        let is_read = Arc::new(AtomicBool::new(false));
        let watched = request.map(|body| Body::new(Watched { body, is_read: Arc::clone(&is_read) }));
        (Self(Some(is_read)), watched)
    }

    /// Makes `response` the last of its connection unless the body has been read.
    pub(super) fn close_if_unread(&self, response: &mut Response) {
        if self.0.as_ref().is_some_and(|is_read| !is_read.load(Ordering::Relaxed)) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

struct Watched {
    body: Body,
    is_read: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
