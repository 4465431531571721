//! How long a plan waits for one of several destinations.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore::Repository;

use crate::end::End;
use crate::error::TransferError;
use crate::tee::STALL_LIMIT;

/// Waits for what a destination answers. One of several that answers nothing for [`STALL_LIMIT`] is
/// not waited for any longer: the others would wait too. `answered` counts its answers.
///
/// # Errors
///
/// [`TransferError::Unanswered`]; those of `work`.
pub(super) async fn answer_of<T>(
    end: &dyn End,
    is_alone: bool,
    answered: &AtomicUsize,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    // An end on this machine answers, or its disk does not.
    let clock = end.repository().map(Repository::clock);
    let Some(clock) = clock.filter(|_| !is_alone) else {
        return work.await;
    };
    let mut work = pin!(work);
    loop {
        let before = answered.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            answer = &mut work => return answer,
            () = clock.alarm(STALL_LIMIT) => {}
        }
        if answered.load(Ordering::Relaxed) == before {
            return Err(TransferError::Unanswered { end: end.name() });
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore::Client;
    use longshore_model::Reference;
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
}
