//! The longshore transport over hyper, rustls and tokio: connecting, TLS, proxies and pooling.
