//! How long others wait for one of several destinations.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longshore::Repository;
use longshore::transport::Clock;

use crate::end::End;
use crate::error::TransferError;

/// How long one of several destinations may make no progress: 30 seconds (RT10).
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// The patience with a registry: [`STALL_LIMIT`], and the time for which the registry asked to wait
/// (RT3).
#[derive(Clone)]
pub(crate) struct Patience {
    clock: Arc<dyn Clock>,
    /// `None` in a test that needs no registry.
    repository: Option<Repository>,
}

impl Patience {
    /// The patience with this end. `None` for an end on this machine: there is nothing to wait for
    /// but its disk.
    pub(crate) fn with(end: &dyn End) -> Option<Self> {
        let repository = end.repository()?;
        Some(Self {
            clock: repository.clock(),
            repository: Some(repository.clone()),
        })
    }

    #[cfg(test)]
    pub(crate) fn by(clock: Arc<dyn Clock>) -> Self {
        let repository = None;
        Self { clock, repository }
    }

    /// Waits until the patience is exhausted.
    pub(crate) async fn exhausted(&self) {
        loop {
            let had_to_wait = self.has_to_wait();
            self.clock.alarm(STALL_LIMIT).await;
            if !had_to_wait && !self.has_to_wait() {
                return;
            }
        }
    }

    fn has_to_wait(&self) -> bool {
        let repository = self.repository.as_ref();
        repository.is_some_and(|it| !it.requested_wait().is_zero())
    }
}

/// Waits for what a destination answers. One of several that answers nothing for [`STALL_LIMIT`] is
/// given up, because the others would wait too. `answered` counts its answers.
///
/// # Errors
///
/// [`TransferError::Unanswered`]; those of `work`.
pub(crate) async fn answer_of<T>(
    end: &dyn End,
    is_alone: bool,
    answered: &AtomicUsize,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    let Some(patience) = Patience::with(end).filter(|_| !is_alone) else {
        return work.await;
    };
    let mut work = pin!(work);
    loop {
        let before = answered.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            answer = &mut work => return answer,
            () = patience.exhausted() => {}
        }
        if answered.load(Ordering::Relaxed) == before {
            return Err(TransferError::Unanswered { end: end.name() });
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use longshore::Client;
    use longshore_model::Reference;
    use longshore_testkit::registry::{Misbehaviour, Registry, Rule};
    use longshore_transport::TestClock;

    use super::*;
    use crate::end::RegistryEnd;

    /// An end whose alarms ring.
    async fn end() -> RegistryEnd {
        let clock = TestClock::default();
        clock.ring(true);
        let client = Client::builder().clock(clock).build().unwrap();
        let reference: Reference = "localhost:5000/a:1".parse().unwrap();
        RegistryEnd::open(&client, &reference).await.unwrap()
    }

    // RT10: a transfer without progress is given up.
    #[tokio::test]
    async fn rt10_one_of_several_that_answers_nothing_is_given_up() {
        let end = end().await;
        let answered = AtomicUsize::new(0);
        let silent = std::future::pending::<Result<(), TransferError>>();
        let error = answer_of(&end, false, &answered, silent).await.unwrap_err();
        let expected = format!("{} answered nothing for 30 seconds", end.name());
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn one_that_is_alone_or_goes_on_answering_is_waited_for() {
        let end = end().await;
        let answered = AtomicUsize::new(0);
        let slow = |answers: bool| {
            let answered = &answered;
            async move {
                for _ in 0..10 {
                    answered.fetch_add(usize::from(answers), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                Ok(1)
            }
        };
        for (is_alone, answers) in [(false, true), (true, false)] {
            let answer = answer_of(&end, is_alone, &answered, slow(answers)).await;
            assert_eq!(answer.unwrap(), 1);
        }
    }

    // RT3, RT10: who waits because the registry asked for it does not stall.
    #[tokio::test]
    async fn rt10_the_time_that_a_registry_asked_to_wait_does_not_count() {
        let busy = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "45".to_owned());
        let registry = Registry::builder().misbehave(Rule::always(busy));
        let registry = registry.start().unwrap();
        let clock = TestClock::default();
        let client = Client::builder().clock(clock.clone()).build().unwrap();
        let reference: Reference = format!("{}/a:1", registry.authority()).parse().unwrap();
        let end = RegistryEnd::open(&client, &reference).await.unwrap();
        let patience = Patience::with(&end).unwrap();
        let waited = || async {
            let begin = clock.now();
            clock.ring(true);
            patience.exhausted().await;
            clock.ring(false);
            (clock.now() - begin).as_secs()
        };
        assert_eq!(waited().await, 30);
        let error = end.digest().await.unwrap_err();
        assert!(error.to_string().contains("too many requests"), "{error}");
        // The wait ends within the second turn; the third is the first that counts.
        assert_eq!(waited().await, 90);
    }
}
