//! The page: one file each of HTML, script and style, built into the program. It loads nothing from elsewhere, and its
//! policy says so.

use axum::response::IntoResponse;

pub(super) async fn html() -> impl IntoResponse {
    ([("content-type", "text/html; charset=utf-8"), POLICY, FRESH], include_str!("page/index.html"))
}

pub(super) async fn script() -> impl IntoResponse {
    ([("content-type", "text/javascript; charset=utf-8"), POLICY, FRESH], include_str!("page/app.js"))
}

pub(super) async fn style() -> impl IntoResponse {
    ([("content-type", "text/css; charset=utf-8"), POLICY, FRESH], include_str!("page/style.css"))
}

const POLICY: (&str, &str) = (
    "content-security-policy",
    "default-src 'self'; worker-src blob:; img-src 'self' data:; frame-ancestors 'none'",
);
const FRESH: (&str, &str) = ("cache-control", "no-cache");
