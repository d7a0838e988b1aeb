//! A message from one to another, in one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use splinter::{Pattern, Selector, WatchOptions};

use crate::book::{Book, Context};
use crate::document::Kind;
use crate::measure::{Contender, Distribution, Series, Step, interleaved, order, outcomes};
use crate::peers::Splinter;
use crate::peers_iceoryx2::{name, node};

const N: usize = 64;
/// Changes of which only the last one is waited for.
const CHANGES: usize = 10_000;

fn contender<'a>(name: &'static str, kind: Kind, order: &'a [Step], mut exchange: impl FnMut() + 'a) -> Contender<'a> {
    let work = Box::new(move |steps: &[Step]| steps.iter().for_each(|_| exchange()));
    Contender {
        name,
        kind,
        order,
        work,
    }
}

pub fn run(context: &Context, book: &mut Book) {
    context.progress("messages");
    let directory = context.directory("messages");
    let store = Splinter::options(64, N, false)
        .create(directory.join("store"))
        .expect("a store");
    let key = store.key("topic").expect("a key");
    key.set([7; N]).expect("a set");
    let taken = store.key("topic").expect("a key");
    let mut watcher = store
        .watch_with("topic", &WatchOptions::new().values(true))
        .expect("a watch");
    let root = context.directory("iceoryx2-messages");
    let node = node(&root);
    let service = node
        .service_builder(&name(&root))
        .publish_subscribe::<[u8; N]>()
        .create()
        .expect("a service");
    let publisher = service.publisher_builder().create().expect("a publisher");
    let subscriber = service.subscriber_builder().create().expect("a subscriber");
    // Nothing but a count of messages.
    let steps = order('a', 1, Distribution::Uniform, 1);
    let mut buffer = [0; N];
    let mut all = [
        contender("iceoryx2 publish-subscribe", Kind::Peer, &steps, || {
            publisher.send_copy([7; N]).expect("a subscriber");
            let sample = subscriber.receive().expect("a publisher").expect("a message");
            buffer.copy_from_slice(&*sample);
        }),
        contender("splinter, newest by handle", Kind::Us, &steps, || {
            let mut into = [0; N];
            key.set([7; N]).expect("a set");
            assert!(taken.changed().expect("a look"));
            taken.get(&mut into).expect("a read");
            std::hint::black_box(into);
        }),
    ];
    let mut measured = interleaved(&mut all, 1, context.effort);
    // After the others: every set is a change that the watcher would have to take.
    drop(all);
    while watcher.try_next().expect("a watch").is_some() {}
    let mut all = [contender("splinter, watch", Kind::Us, &steps, || {
        key.set([7; N]).expect("a set");
        let event = watcher.try_next().expect("a watch").expect("an event");
        std::hint::black_box(event);
    })];
    measured.extend(interleaved(&mut all, 1, context.effort));
    book.add("message", outcomes(measured, "iceoryx2 publish-subscribe", "64 B"));
    many_watches(context, book);
}

fn many_watches(context: &Context, book: &mut Book) {
    context.progress("many watches");
    let directory = context.directory("watches");
    let mut all: Vec<(Series, Arc<splinter::Store>, Selector, u32)> =
        [("1 watch", 1), ("100 watches", 100), ("1,000 watches", 1000)]
            .into_iter()
            .map(|(name, watches)| {
                let store = Splinter::options(64, N, false)
                    .journal_entries(4 * CHANGES as u32)
                    .create(directory.join(name))
                    .expect("a store");
                let store = Arc::new(store);
                let selector = Selector::new(store.clone()).expect("a selector");
                let options = WatchOptions::new();
                for number in 1..watches {
                    let key = format!("other/{number}");
                    selector.watch(key.as_str(), &options).expect("a watch");
                }
                let last = selector.watch(Pattern::key("last"), &options).expect("a watch");
                (Series::new(name, Kind::Us), store, selector, last)
            })
            .collect();
    for _ in 0..context.effort.rounds {
        for (series, store, selector, last) in &mut all {
            let start = Instant::now();
            for _ in 0..CHANGES {
                store.set("nobody", [7; N]).expect("a set");
            }
            store.set("last", [7; N]).expect("a set");
            loop {
                assert!(selector.wait(Duration::from_secs(30)).expect("a wait"));
                if selector.ready().expect("a look").contains(last) {
                    break;
                }
            }
            while selector.next_event(*last).expect("a watch").is_some() {}
            let taken = start.elapsed().as_nanos() as f64;
            series.values.push(taken / CHANGES as f64);
        }
    }
    let measured = all.into_iter().map(|(series, ..)| series).collect();
    book.add("many-watches", outcomes(measured, "1 watch", "10,000 sets"));
}
