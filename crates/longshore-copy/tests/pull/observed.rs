//! What an observer sees, compared with the bytes on the wire.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use longshore::Client;
use longshore::transport::{Body, Transport, TransportError};
use longshore_copy::{
    ByteCounter, CopyOptions, Event, MemoryEnd, Observer, Plan, RegistryEnd, RunOptions,
};
use longshore_hyper::{HyperTransport, TokioClock};
use longshore_store::MemoryStore;
use longshore_testkit::image::Image;

use crate::support::{Recorder, Scene, observed};

/// Counts the bytes of blobs that come over the wire.
struct Wire {
    transport: HyperTransport,
    bytes: Arc<AtomicU64>,
}

impl Transport for Wire {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let is_blob = request.uri().path().contains("/blobs/");
        let response = self.transport.send(request).await?;
        let bytes = Arc::clone(&self.bytes);
        Ok(response.map(|body| match is_blob {
            true => Body::wrap(Counted { body, bytes }),
            false => body,
        }))
    }
}

struct Counted {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}

/// Keeps the counter of a run and its total.
#[derive(Default)]
struct Total(Mutex<Option<(u64, ByteCounter)>>);

impl Observer for Total {
    fn observe(&self, event: Event<'_>) {
        if let Event::Planned { bytes, counter, .. } = event {
            *self.0.lock().unwrap() = Some((bytes, counter.clone()));
        }
    }
}

#[tokio::test]
async fn the_counter_is_the_bytes_on_the_wire() {
    let bytes = Arc::new(AtomicU64::new(0));
    let transport = Wire {
        transport: HyperTransport::builder().build().unwrap(),
        bytes: Arc::clone(&bytes),
    };
    let client = Client::builder()
        .transport(transport)
        .clock(TokioClock::new())
        .build()
        .unwrap();
    // Two large blobs, one small layer for each thread of small ones and more, and a config.
    let tree = Image::new(1).layers(40, 30_000).build();
    let scene = Scene::with_client(tree, &client).await;
    let total = Arc::new(Total::default());
    let mut options = longshore_copy::PullOptions::default();
    options.run.observer = Some(Arc::clone(&total) as Arc<dyn Observer>);
    let store = MemoryStore::new();
    let report = scene.pull_into(&store, &options).await.unwrap();
    let (planned, counter) = total.0.lock().unwrap().take().unwrap();
    let blobs = scene.tree.all_blobs();
    let expected: u64 = blobs.iter().map(|blob| blob.descriptor.size).sum();
    assert_eq!(planned, expected);
    assert_eq!(counter.bytes(), expected);
    assert_eq!(bytes.load(Ordering::Relaxed), expected);
    let manifest = scene.tree.descriptor().size;
    assert_eq!(report.tally.bytes, expected + manifest);
}

#[tokio::test]
async fn each_blob_is_started_and_finished_once() {
    for size in [500, 2 << 20] {
        let scene = Scene::set(Image::new(size).layers(5, size).build()).await;
        let recorder = Recorder::new();
        let store = MemoryStore::new();
        scene.pull_into(&store, &observed(&recorder)).await.unwrap();
        let blobs = scene.tree.blobs();
        let bytes: u64 = blobs.iter().map(|blob| blob.descriptor.size).sum();
        let mut expected = vec![format!("planned {} {bytes}", blobs.len())];
        for blob in blobs {
            let digest = &blob.descriptor.digest;
            expected.push(format!("started {digest} at 0"));
            expected.push(format!("finished {digest}"));
        }
        expected.sort();
        assert_eq!(recorder.events(), expected);
    }
}

#[tokio::test]
async fn a_plan_says_what_is_missing_before_it_runs() {
    let scene = Scene::set(Image::new(3).layers(3, 4000).build()).await;
    let store = MemoryStore::new();
    let target = scene.target();
    let [config, first, ..] = scene.tree.blobs() else {
        panic!("an image has a config and layers");
    };
    let stored =
        longshore_store::Store::put(&store, &first.descriptor.digest, &first.content.bytes());
    stored.unwrap();
    let source = RegistryEnd::new(scene.repository.clone(), target);
    let memory = MemoryEnd::new(store.clone());
    let (source, memory) = (Arc::new(source), Arc::new(memory));
    let options = CopyOptions::default();
    let plan = Plan::make(source, vec![memory], &options).await.unwrap();
    assert_eq!(plan.manifests().len(), 1);
    let [destination] = plan.destinations() else {
        panic!("there is one destination");
    };
    assert_eq!(destination.missing_manifests(), 1);
    let digests: Vec<_> = destination.missing().map(|blob| &blob.digest).collect();
    let layers = &scene.tree.blobs()[2..];
    let mut expected = vec![&config.descriptor.digest];
    expected.extend(layers.iter().map(|layer| &layer.descriptor.digest));
    assert_eq!(digests, expected);
    let present: Vec<_> = destination.existing().map(|blob| &blob.digest).collect();
    assert_eq!(present, [&first.descriptor.digest]);
    let missing = destination.missing_bytes();
    let all = scene.tree.total_bytes();
    let manifest = scene.tree.descriptor().size;
    assert_eq!(missing, all - manifest - first.descriptor.size);
    assert_eq!(scene.registry.requests().len(), 1);
    let reports = plan.run(&RunOptions::default()).await.unwrap();
    let tally = reports[0].tally;
    assert_eq!((tally.moved, tally.present), (4, 1));
    assert_eq!(tally.bytes, missing + manifest);
}
