use std::sync::Mutex;

use longshore_model::Digest;
use longshore_transport::TestClock;
use tokio::task::JoinSet;

use super::*;

const CONTENT: &[u8] = b"content for several readers";

/// Content that comes in pieces of one byte.
struct Bytewise;

impl Content for Bytewise {
    fn size(&self) -> Option<u64> {
        Some(CONTENT.len() as u64)
    }

    fn open(&self, position: u64) -> OpeningContent<'_> {
        let frames: ContentFrames = Box::pin(Self::from(position));
        Box::pin(std::future::ready(Ok(frames)))
    }
}

impl Bytewise {
    fn from(position: u64) -> impl Stream<Item = io::Result<Bytes>> {
        struct Rest(Bytes);
        impl Stream for Rest {
            type Item = io::Result<Bytes>;
            fn poll_next(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                let next = (!self.0.is_empty()).then(|| self.0.split_to(1));
                Poll::Ready(next.map(Ok))
            }
        }
        Rest(Bytes::from_static(CONTENT).split_off(usize::try_from(position).unwrap()))
    }
}

/// Reads `content` from this position on.
async fn read(content: &TeeContent, position: u64) -> io::Result<Vec<u8>> {
    let mut frames = content.open(position).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

fn verifier(content: &[u8]) -> Option<Verifier> {
    let size = Some(CONTENT.len() as u64);
    Some(Verifier::new(&Digest::sha256(content), size).unwrap())
}

#[tokio::test]
async fn every_reader_gets_what_it_needs() {
    let (tee, contents) = Tee::new(CONTENT.len() as u64, vec![None; 3], verifier(CONTENT));
    let mut reading = JoinSet::new();
    let positions = [0, 7, u64::MAX];
    for (content, position) in contents.into_iter().zip(positions) {
        reading.spawn(async move {
            // The last one ends without reading.
            match position {
                u64::MAX => Ok(Vec::new()),
                position => read(&content, position).await,
            }
        });
    }
    tee.run(&Bytewise, |number| panic!("{number} stalled"))
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = reading.join_next().await {
        all.push(bytes.unwrap().unwrap());
    }
    all.sort_by_key(Vec::len);
    assert_eq!(all, [b"".to_vec(), CONTENT[7..].to_vec(), CONTENT.to_vec()]);
}

// DG3: digest and length must both match.
#[tokio::test]
async fn dg3_the_last_bytes_of_other_content_are_given_to_nobody() {
    let (tee, contents) = Tee::new(CONTENT.len() as u64, vec![None; 2], verifier(b"other"));
    let mut reading = JoinSet::new();
    for content in contents {
        reading.spawn(async move { read(&content, 0).await });
    }
    let failed = tee.run(&Bytewise, |_| ()).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::InvalidData);
    while let Some(read) = reading.join_next().await {
        if let Ok(bytes) = read.unwrap() {
            assert!(bytes.len() < CONTENT.len());
        }
    }
}

// RT10: 30 seconds without progress.
#[tokio::test]
async fn rt10_a_reader_that_takes_nothing_is_left_out() {
    for opens in [true, false] {
        let clock = TestClock::default();
        let patience = Patience::by(Arc::new(clock.clone()));
        let (tee, contents) = Tee::new(CONTENT.len() as u64, vec![Some(patience); 2], None);
        let [first, second] = <[TeeContent; 2]>::try_from(contents).ok().unwrap();
        let stalled_frames = if opens {
            Some(second.open(0).await.unwrap())
        } else {
            None
        };
        let reading = tokio::spawn(async move { read(&first, 0).await });
        let stalled = Mutex::new(Vec::new());
        let running = tee.run(&Bytewise, |number| {
            clock.ring(false);
            stalled.lock().unwrap().push(number);
        });
        let ringing = async {
            // The first reader takes all that there is before the alarm rings.
            for turn in 0.. {
                if turn == 1000 {
                    clock.ring(true);
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            result = running => result.unwrap(),
            () = ringing => {}
        }
        assert_eq!(*stalled.lock().unwrap(), [1]);
        assert_eq!(reading.await.unwrap().unwrap(), CONTENT);
        drop((stalled_frames, second));
    }
}

#[tokio::test]
async fn a_reader_goes_on_where_it_stopped_and_nowhere_else() {
    let (tee, contents) = Tee::new(CONTENT.len() as u64, vec![None], None);
    let reading = tokio::spawn(async move {
        let [content] = <[TeeContent; 1]>::try_from(contents).ok().unwrap();
        let mut frames = content.open(0).await.unwrap();
        for _ in 0..5 {
            poll_fn(|cx| frames.as_mut().poll_next(cx))
                .await
                .unwrap()
                .unwrap();
        }
        drop(frames);
        assert!(content.open(2).await.is_err());
        // The last piece is given again.
        read(&content, 4).await
    });
    tee.run(&Bytewise, |_| ()).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), CONTENT[4..]);
}
