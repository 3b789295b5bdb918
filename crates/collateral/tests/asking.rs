//! A maker that takes every request and answers none: it holds a bounded number of those that ask,
//! and whoever comes behind them is told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use zeuge_collateral::{
    ASKING_MAX, Ages, Allowance, Answer, BaseUrl, Collateral, Fetcher, Got, Problem, Sources,
    Unreachable, Wanted,
};
use zeuge_sim::{Product, ToyAmd};
use zeuge_verify::{Anchors, UnixTime, snp};

const NOW: UnixTime = UnixTime(1_772_323_200);

/// Answers nobody until it is let.
#[derive(Debug)]
struct Silent {
    open: Semaphore,
    asked: AtomicUsize,
}

impl Fetcher for Silent {
    fn get<'f>(&'f self, _address: &'f str, _bytes_max: usize) -> Got<'f> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            let _ = self.open.acquire().await;
            Err::<Answer, _>(Unreachable::Failed("nobody answers".to_owned()))
        })
    }
}

#[tokio::test]
async fn a_silent_maker_holds_so_many_and_whoever_comes_behind_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let silent = Arc::new(Silent {
        open: Semaphore::new(0),
        asked: AtomicUsize::new(0),
    });
    let sources = Sources {
        amd: Some(BaseUrl::parse("http://127.0.0.1:1").unwrap()),
        intel: None,
    };
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    let anchors = Anchors::dangerous_sim(&trust).unwrap();
    let allowance = Allowance {
        per_source: 1000,
        all: 1000,
    };
    let fetcher = Arc::clone(&silent) as Arc<dyn Fetcher>;
    let ages = Ages::default();
    let opened = Collateral::open(
        folder.path(),
        Some(fetcher),
        sources,
        anchors,
        ages,
        allowance,
    );
    let collateral = opened.unwrap();
    let chain = Wanted::Amd(snp::EndorsementId::AmdChain {
        product: snp::Product::Milan,
        vlek: false,
    });
    let mut waiting = Vec::new();
    for number in 0..ASKING_MAX {
        let (collateral, chain) = (collateral.clone(), chain.clone());
        waiting.push(tokio::spawn(async move {
            collateral.obtain(&[chain], &number.to_string(), NOW).await
        }));
    }
    // All of them run until they wait: one asks, the others wait for what it brings.
    for _ in 0..ASKING_MAX * 4 {
        tokio::task::yield_now().await;
    }
    let obtained = collateral.obtain(&[chain], "late", NOW).await.unwrap();
    let problems = &obtained.outcomes[0].problems;
    assert_eq!(
        problems.as_slice(),
        [Problem::Budget {
            source: "all".to_owned(),
            until: NOW.plus(1)
        }]
    );
    assert_eq!(silent.asked.load(Ordering::SeqCst), 1);
    silent.open.close();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
}
