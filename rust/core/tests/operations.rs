//! Conditional writes, deadlines, eviction, counters, appends, batches, key handles, labels, namespaces, reads in place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use splinter::{
    Change, Changes, Error, ErrorCode, EventKind, Eviction, OpenOptions, Operation, Outcome, Pattern, SetOptions,
    Store, TimeToLive, ValueType, WatchOptions,
};
use tempfile::tempdir;

const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(3600);

fn store() -> Store {
    OpenOptions::new().slots(16).max_value_bytes(256).anonymous().unwrap()
}

/// Ends what goes on until then, however a test ends.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sets a key that is gone when this returns, though nobody has noticed.
fn set_expired(store: &Store, key: &str, value: &str) {
    let options = SetOptions::new().ttl(Duration::from_nanos(1));
    assert!(store.set_with(key, value, &options).unwrap().is_written());
}

/// What has come in a feed, in words.
fn kinds(changes: &mut Changes<'_>) -> Vec<&'static str> {
    let name = |change: Change| match change {
        Change::Set { .. } => "set",
        Change::Unset { .. } => "unset",
        Change::Expired { .. } => "expired",
        Change::Appended { .. } => "appended",
        Change::Evicted { .. } => "evicted",
        Change::Attributes { .. } => "attributes",
        Change::Vanished { .. } => "vanished",
        _ => "other",
    };
    std::iter::from_fn(|| changes.try_next().unwrap()).map(name).collect()
}

#[test]
fn a_conditional_write_happens_if_and_only_if_its_condition_holds() {
    let store = store();
    let options = SetOptions::new();
    assert_eq!(
        store.set_with("k", "0", &options.if_present()).unwrap(),
        Outcome::NotMet { found: None }
    );
    assert_eq!(
        store.set_with("k", "0", &options.if_epoch(2)).unwrap(),
        Outcome::NotMet { found: None }
    );
    let Outcome::Written { epoch } = store.set_with("k", "1", &options.if_absent()).unwrap() else {
        panic!("absent");
    };
    assert_eq!(store.epoch("k").unwrap(), Some(epoch));
    for refused in [options.if_absent(), options.if_epoch(0), options.if_epoch(epoch + 2)] {
        let found = Some(epoch);
        assert_eq!(store.set_with("k", "no", &refused).unwrap(), Outcome::NotMet { found });
    }
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"1");
    assert!(store.set_with("k", "2", &options.if_epoch(epoch)).unwrap().is_written());
    assert!(store.set_with("k", "3", &options.if_present()).unwrap().is_written());
    let entry = store.get_entry("k").unwrap().unwrap();
    assert_eq!((&*entry.value, entry.epoch), (&b"3"[..], epoch + 4));
    assert_eq!(
        store.unset_if_epoch("k", epoch).unwrap(),
        Outcome::NotMet { found: Some(epoch + 4) }
    );
    assert_eq!(
        store.unset_if_epoch("k", epoch + 4).unwrap(),
        Outcome::Written { epoch: epoch + 6 }
    );
    assert_eq!(
        store.unset_if_epoch("k", epoch + 4).unwrap(),
        Outcome::NotMet { found: None }
    );
    assert!(
        store.set_with("k", "4", &options.if_epoch(0)).unwrap().is_written(),
        "0 is absent"
    );
    assert!(
        store.set_with("", "x", &options.if_present()).is_err(),
        "a refused key is an error, met or not"
    );
}

#[test]
fn threads_that_update_one_key_lose_nothing() {
    let store = store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let add = |old: Option<&[u8]>| {
                        let old = old.map_or(0, |old| u64::from_le_bytes(old.try_into().unwrap()));
                        Some((old + 1).to_le_bytes().to_vec())
                    };
                    assert!(store.update("k", add).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(store.apply("k", Operation::Add(0_u64)).unwrap(), 2000);
    assert_eq!(store.update("k", |_| None).unwrap(), None);
    assert_eq!(store.header_snapshot().unwrap().epoch, 2001, "one change each");
}

#[test]
fn a_key_whose_time_is_up_is_gone_for_every_reader_before_anybody_notices() {
    let store = store();
    let reader = OpenOptions::new().read_only(true).open(store.path()).unwrap();
    let mut changes = store.changes().unwrap();
    store.set("other", "").unwrap();
    set_expired(&store, "ephemeral", "v");
    for reader in [&reader, &store] {
        assert_eq!(reader.keys().map(Result::unwrap).collect::<Vec<_>>(), ["other"]);
    }
    assert_eq!(kinds(&mut changes), ["set", "set"], "listing does not notice");
    assert_eq!(reader.get_vec("ephemeral").unwrap(), None);
    assert_eq!(reader.epoch("ephemeral").unwrap(), None);
    assert!(!reader.contains("ephemeral").unwrap());
    assert_eq!(reader.slot_snapshot("ephemeral").unwrap(), None);
    assert_eq!(reader.ttl("ephemeral").unwrap(), None);
    assert_eq!(kinds(&mut changes), [""; 0], "who only reads cannot tell");
    assert_eq!(store.get_vec("ephemeral").unwrap(), None);
    assert_eq!(kinds(&mut changes), ["expired"]);
    let region = std::fs::read(store.path()).unwrap();
    assert!(!region.windows(9).any(|bytes| bytes == b"ephemeral"), "zeroed");
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn a_write_to_a_key_whose_time_is_up_finds_none() {
    type Write = fn(&Store);
    let writes: [(&str, Write); 6] = [
        ("set", |store| assert!(store.set("k", "new").unwrap() > 0)),
        ("if absent", |store| {
            let options = SetOptions::new().if_absent();
            assert!(store.set_with("k", "new", &options).unwrap().is_written());
        }),
        ("if present", |store| {
            let options = SetOptions::new().if_present();
            assert!(!store.set_with("k", "new", &options).unwrap().is_written());
        }),
        ("append", |store| assert_eq!(store.append("k", "new").unwrap(), 3)),
        ("apply", |store| {
            assert_eq!(store.apply("k", Operation::Add(1_u64)).unwrap(), 1)
        }),
        ("unset", |store| assert_eq!(store.unset("k").unwrap(), None)),
    ];
    for (name, write) in writes {
        let store = store();
        let mut changes = store.changes().unwrap();
        store.set("k", "old value").unwrap();
        store.label("k", 1, 0).unwrap();
        store.expire("k", Duration::from_nanos(1)).unwrap();
        assert_eq!(kinds(&mut changes), ["set", "attributes", "attributes"], "{name}");
        write(&store);
        assert_eq!(kinds(&mut changes)[0], "expired", "{name}");
        assert_eq!(store.labels("k").unwrap().unwrap_or(0), 0, "{name}");
        assert!(!store.expire("absent", LATE).unwrap());
        assert!(store.check().unwrap().is_clean(), "{name}");
    }
}

#[test]
fn deadlines_are_given_kept_and_taken_away() {
    let store = store();
    store.set("k", "v").unwrap();
    let epoch = store.epoch("k").unwrap();
    assert_eq!(store.ttl("k").unwrap(), Some(TimeToLive::Forever));
    assert!(!store.persist("k").unwrap());
    assert!(store.expire("k", LATE).unwrap());
    let is_timed = |store: &Store| match store.ttl("k").unwrap() {
        Some(TimeToLive::Left(left)) => left <= LATE && left > LATE / 2,
        _ => false,
    };
    assert!(is_timed(&store));
    assert_eq!(store.epoch("k").unwrap(), epoch, "the value is the same");
    store.append("k", "w").unwrap();
    assert!(is_timed(&store), "an append keeps it");
    let keep = SetOptions::new().keep_ttl();
    assert!(store.set_with("k", "x", &keep).unwrap().is_written());
    assert!(is_timed(&store), "it is kept as asked");
    store.set("k", "y").unwrap();
    assert_eq!(
        store.ttl("k").unwrap(),
        Some(TimeToLive::Forever),
        "a set takes it away"
    );
    let timed = SetOptions::new().ttl(LATE);
    assert!(store.set_with("k", "z", &timed).unwrap().is_written());
    assert!(is_timed(&store) && store.persist("k").unwrap());
    assert_eq!(store.ttl("k").unwrap(), Some(TimeToLive::Forever));
    for refused in [store.expire("k", Duration::ZERO).unwrap_err(), {
        let zero = SetOptions::new().ttl(Duration::ZERO);
        store.set_with("k", "", &zero).unwrap_err()
    }] {
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    }
    assert!(store.expire("k", Duration::MAX).unwrap());
    assert!(store.contains("k").unwrap());
}

#[test]
fn deadlines_survive_closing_and_a_backup() {
    let directory = tempdir().unwrap();
    let (path, copy) = (directory.path().join("s"), directory.path().join("copy"));
    let store = Store::create(&path).unwrap();
    store.set("k", "v").unwrap();
    let options = SetOptions::new().ttl(LATE).value_type(ValueType::Text);
    assert!(store.set_with("timed", "v", &options).unwrap().is_written());
    store.label("timed", 6, 0).unwrap();
    store.pin("timed", true).unwrap();
    store.name_label(1, "hot").unwrap();
    store.set_eviction(Eviction::Lru).unwrap();
    set_expired(&store, "gone", "v");
    store.backup(&copy).unwrap();
    store.close();
    for path in [path, copy] {
        let store = Store::open(path).unwrap();
        assert_eq!(store.ttl("k").unwrap(), Some(TimeToLive::Forever));
        let snapshot = store.slot_snapshot("timed").unwrap().unwrap();
        assert!(snapshot.ttl.unwrap() > LATE / 2);
        assert_eq!(
            (snapshot.value_type, snapshot.labels, snapshot.is_pinned),
            (ValueType::Text, 6, true)
        );
        assert_eq!(store.label_names().unwrap(), [(1, "hot".to_string())]);
        assert_eq!(store.eviction().unwrap(), Eviction::Lru);
        assert!(!store.contains("gone").unwrap());
        assert!(store.check().unwrap().is_clean());
    }
}

#[test]
fn who_polls_a_key_learns_that_its_time_is_up() {
    let store = store();
    assert!(
        store
            .set_with("k", "v", &SetOptions::new().ttl(SOON))
            .unwrap()
            .is_written()
    );
    assert!(store.poll("k", LATE).unwrap());
    assert!(!store.contains("k").unwrap());
    // A deadline that is set while somebody sleeps counts too.
    store.set("k", "v").unwrap();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| store.poll("k", LATE).unwrap());
        while store.attached().unwrap()[0].watches == 0 {
            std::thread::yield_now();
        }
        assert!(store.expire("k", SOON).unwrap());
        assert!(poll.join().unwrap());
    });
    assert!(!store.poll("k", Duration::ZERO).unwrap());
}

#[test]
fn a_sweep_tells_of_all_that_is_due_and_only_that() {
    let store = store();
    for i in 0..5 {
        set_expired(&store, &format!("due{i}"), "v");
    }
    assert!(
        store
            .set_with("later", "v", &SetOptions::new().ttl(LATE))
            .unwrap()
            .is_written()
    );
    store.set("never", "v").unwrap();
    let mut watcher = store.watch(Pattern::all()).unwrap();
    assert_eq!(store.sweep().unwrap(), 5);
    assert_eq!(store.sweep().unwrap(), 0);
    let mut expired: Vec<_> = std::iter::from_fn(|| watcher.try_next().unwrap())
        .map(|event| (event.key.to_string(), event.kind))
        .collect();
    expired.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let due: Vec<_> = (0..5).map(|i| (format!("due{i}"), EventKind::Expired)).collect();
    assert_eq!(expired, due);
    assert_eq!(store.keys().count(), 2);
    // The next one is noticed though nothing was due at the last sweep.
    store.expire("later", Duration::from_nanos(1)).unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn a_full_store_makes_room_by_its_policy() {
    let fill = |store: &Store| {
        for i in 0..16 {
            store.set(i.to_string(), "v").unwrap();
        }
    };
    let none = store();
    fill(&none);
    assert_eq!(none.set("new", "").unwrap_err(), Error::Full { slots: 16 });
    none.expire("7", Duration::from_nanos(1)).unwrap();
    none.set("new", "").unwrap();
    assert!(!none.contains("7").unwrap() && none.contains("8").unwrap());

    let ttl = store();
    ttl.set_eviction(Eviction::Ttl).unwrap();
    fill(&ttl);
    let mut changes = ttl.changes().unwrap();
    assert_eq!(
        ttl.set("new", "").unwrap_err().code(),
        ErrorCode::Full,
        "nobody has a deadline"
    );
    for (key, ttl_s) in [("3", 300), ("4", 100), ("5", 200), ("6", 50)] {
        ttl.expire(key, Duration::from_secs(ttl_s)).unwrap();
    }
    ttl.pin("6", true).unwrap();
    for (new, gone) in [("a", "4"), ("b", "5"), ("c", "3")] {
        ttl.set(new, "").unwrap();
        assert!(!ttl.contains(gone).unwrap(), "{gone} for {new}");
    }
    assert_eq!(
        ttl.set("d", "").unwrap_err().code(),
        ErrorCode::Full,
        "a pinned key stays"
    );
    let evicted = kinds(&mut changes).iter().filter(|kind| **kind == "evicted").count();
    assert_eq!(evicted, 3);

    let lru = store();
    lru.set_eviction(Eviction::Lru).unwrap();
    fill(&lru);
    lru.pin("0", true).unwrap();
    lru.set("16", "").unwrap();
    // The hand has gone round once: what is read now is spared by the next round.
    let read: Vec<_> = lru.keys().map(Result::unwrap).filter(|key| key.len() == 1).collect();
    for key in &read {
        lru.get_vec(key).unwrap().unwrap();
    }
    for i in 100..103 {
        lru.set(i.to_string(), "").unwrap();
    }
    for key in read {
        assert!(lru.contains(&key).unwrap(), "{key} was read lately");
    }
    for i in 200..300 {
        lru.set(i.to_string(), "").unwrap();
        assert!(lru.contains(i.to_string()).unwrap());
    }
    assert!(lru.contains("0").unwrap(), "pinned");
    assert_eq!(lru.keys().count(), 16);
    drop(changes);
    for store in [none, ttl, lru] {
        assert!(store.check().unwrap().is_clean());
    }
}

#[test]
fn a_policy_is_known_by_its_name_and_its_number() {
    for (number, policy) in (0..).zip(Eviction::ALL) {
        assert_eq!(policy as u32, number);
        assert_eq!(Eviction::from_number(number), policy);
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    assert_eq!(Eviction::ALL.map(Eviction::name), ["none", "ttl", "lru"]);
    assert_eq!(Eviction::from_number(3), Eviction::None);
    let error = "LRU".parse::<Eviction>().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_number_is_changed_by_each_of_several_threads_once() {
    let store = store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    store.apply("n", Operation::Add(3_u64)).unwrap();
                }
            });
        }
    });
    assert_eq!(store.get_vec("n").unwrap().unwrap(), 12_000_u64.to_le_bytes());
    assert_eq!(
        store.slot_snapshot("n").unwrap().unwrap().value_type,
        ValueType::BigUint
    );
    assert_eq!(store.apply("n", Operation::Sub(12_001_i64)).unwrap(), -1);
    assert_eq!(
        store.apply("n", Operation::AddChecked(1_u64)).unwrap_err(),
        Error::Overflow
    );
    assert_eq!(store.apply("n", Operation::And(0xff_u64)).unwrap(), 0xff);
    assert_eq!(store.apply("n", Operation::Not::<u64>).unwrap(), !0xff);
    assert_eq!(store.apply("signed", Operation::Sub(1_i64)).unwrap(), -1);
    assert_eq!(
        store.slot_snapshot("signed").unwrap().unwrap().value_type,
        ValueType::BigInt
    );
    let narrow = OpenOptions::new().slots(1).max_value_bytes(7).anonymous().unwrap();
    let error = narrow.apply("n", Operation::Add(1_u64)).unwrap_err();
    assert_eq!(error, Error::ValueTooLarge { bytes: 8, max: 7 });
    store.set("text", "seven b").unwrap();
    assert_eq!(
        store.apply("text", Operation::Add(1_u64)).unwrap_err(),
        Error::WrongType
    );
    assert_eq!(store.get_vec("text").unwrap().unwrap(), b"seven b");
}

#[test]
fn appends_make_one_value_whatever_the_mode_and_what_is_done_between() {
    for sterile in [true, false] {
        let store = OpenOptions::new().slots(2).max_value_bytes(200).auto_vacuum(sterile);
        let store = store.anonymous().unwrap();
        let mut expected = Vec::new();
        for i in 0..50_u8 {
            let bytes = vec![i; usize::from(i % 7)];
            expected.extend(&bytes);
            assert_eq!(store.append("k", &bytes).unwrap(), expected.len());
            assert_eq!(store.get_vec("k").unwrap().unwrap(), expected);
            match i {
                10 | 11 => {
                    expected = b"anew".to_vec();
                    store.set("k", &expected).unwrap();
                }
                20 => drop(store.purge().unwrap()),
                30 => {
                    store.unset("k").unwrap().unwrap();
                    expected.clear();
                }
                40 => drop(store.expire("k", LATE).unwrap()),
                _ => {}
            }
            assert!(store.check().unwrap().is_clean(), "{i}");
        }
        let before = store.get_vec("k").unwrap().unwrap();
        let error = store.append("k", vec![1; 201 - before.len()]).unwrap_err();
        assert_eq!(error, Error::ValueTooLarge { bytes: 201, max: 200 });
        assert_eq!(store.get_vec("k").unwrap().unwrap(), before, "nothing is lost");
        store.append("k", vec![1; 200 - before.len()]).unwrap();
        if sterile {
            store.set("k", "").unwrap();
            let report = store.check().unwrap();
            assert!(
                report.is_clean() && store.purge().unwrap() == 0,
                "the start of the long value is gone too"
            );
        }
    }
}

#[test]
fn a_watch_can_have_what_is_appended_alone() {
    let store = store();
    store.set("tokens", "Once").unwrap();
    let options = WatchOptions::new().initial(true).appended(true);
    let mut watcher = store.watch_with("tokens", &options).unwrap();
    let mut next = || {
        let event = watcher.try_next().unwrap().unwrap();
        (event.offset, String::from_utf8(event.value.unwrap()).unwrap())
    };
    assert_eq!(next(), (0, "Once".into()));
    store.append("tokens", " upon").unwrap();
    assert_eq!(next(), (4, " upon".into()));
    store.append("tokens", " a").unwrap();
    store.append("tokens", " time").unwrap();
    assert_eq!(next(), (9, " a time".into()), "two at once");
    store.set("tokens", "Twice").unwrap();
    store.append("tokens", " told").unwrap();
    assert_eq!(next(), (0, "Twice told".into()), "the whole, after it was replaced");
    store.append("tokens", " tales").unwrap();
    assert_eq!(next(), (10, " tales".into()));
    store.unset("tokens").unwrap();
    store.append("tokens", "New").unwrap();
    assert_eq!(next(), (0, "New".into()));
}

#[test]
fn batches_do_what_single_calls_do() {
    let store = OpenOptions::new().slots(200).max_value_bytes(64).anonymous().unwrap();
    let entries: Vec<_> = (0..150).map(|i| (format!("key{i}"), format!("value{i}"))).collect();
    store.set_many(&entries).unwrap();
    let keys: Vec<_> = (0..160).map(|i| format!("key{i}")).collect();
    let values = store.get_many(&keys).unwrap();
    for (i, value) in values.iter().enumerate() {
        let expected = (i < 150).then(|| format!("value{i}").into_bytes());
        assert_eq!(*value, expected);
    }
    let mut buffer = vec![0; 100];
    let mut got = Vec::new();
    while got.len() < keys.len() {
        let mut lengths = Vec::new();
        let count = store
            .get_many_records(&keys[got.len()..], &mut buffer, |head, length| {
                head.fill(b'.');
                lengths.push(length);
            })
            .unwrap();
        assert!(count > 0 && count == lengths.len());
        let mut at = 0;
        for length in lengths {
            assert_eq!(buffer[at..at + 4], *b"....");
            at += 4;
            got.push(length.map(|length| buffer[at..at + length].to_vec()));
            at += length.unwrap_or(0);
        }
    }
    assert_eq!(got, values);
    let bad = [("a", "1"), ("b", "2"), ("", "3"), ("c", "4")];
    let error = store.set_many(&bad).unwrap_err();
    assert_eq!((error.done, error.error.code()), (2, ErrorCode::KeyInvalid));
    assert!(store.contains("b").unwrap() && !store.contains("c").unwrap());
    assert!(store.get_many(&["a", ""]).is_err());
    assert!(store.get_many::<&str>(&[]).unwrap().is_empty());
}

#[test]
fn a_key_handle_finds_its_key_wherever_it_goes() {
    let store = store();
    let key = store.key("k").unwrap();
    assert!(!key.exists().unwrap() && !key.changed().unwrap());
    key.set("1").unwrap();
    assert!(key.changed().unwrap() && !key.changed().unwrap());
    let mut buffer = [0; 8];
    assert_eq!(key.get(&mut buffer).unwrap(), Some(1));
    // The slot becomes another key's, and the key goes elsewhere.
    let slot = store.slot_snapshot("k").unwrap().unwrap().slot;
    key.unset().unwrap();
    store.set("other", "x").unwrap();
    assert_eq!(store.slot_snapshot("other").unwrap().unwrap().slot, slot);
    assert_eq!(key.get(&mut buffer).unwrap(), None);
    assert!(key.changed().unwrap());
    key.set("2").unwrap();
    assert_ne!(store.slot_snapshot("k").unwrap().unwrap().slot, slot);
    assert_eq!(key.get_vec().unwrap().unwrap(), b"2");
    assert_eq!(store.get_vec("other").unwrap().unwrap(), b"x");
    assert_eq!(key.append("3").unwrap(), 2);
    assert!(key.set_with("4", &SetOptions::new().if_present()).unwrap().is_written());
    assert!(key.expire(Duration::from_nanos(1)).unwrap());
    assert_eq!(key.get_entry().unwrap(), None);
    assert_eq!(key.apply(Operation::Add(2_u64)).unwrap(), 2);
    assert_eq!(store.key("").unwrap_err().code(), ErrorCode::KeyInvalid);
}

#[test]
fn types_belong_to_values_and_labels_to_keys() {
    let store = store();
    let typed = |value_type| SetOptions::new().value_type(value_type);
    store.set("k", "v").unwrap();
    assert_eq!(store.get_entry("k").unwrap().unwrap().value_type, ValueType::Void);
    for value_type in ValueType::ALL {
        assert!(store.set_with("k", "v", &typed(value_type)).unwrap().is_written());
        store.set("k", "w").unwrap();
        store.append("k", "x").unwrap();
        let entry = store.list().next().unwrap().unwrap();
        assert_eq!(entry.value_type, value_type, "it stays until another is named");
        assert_eq!(value_type.name().parse::<ValueType>().unwrap(), value_type);
    }
    assert_eq!(store.label("k", 0b101, 0).unwrap(), Some(0b101));
    assert_eq!(store.label("k", 0b010, 0b001).unwrap(), Some(0b110));
    store.set("k", "anew").unwrap();
    assert_eq!(store.labels("k").unwrap(), Some(0b110));
    store.set("plain", "").unwrap();
    let with = |labels| {
        store
            .list()
            .with_labels(labels)
            .map(|entry| entry.unwrap().key)
            .collect::<Vec<_>>()
    };
    assert_eq!(with(0b110), ["k"]);
    assert_eq!(with(0b111), [""; 0]);
    assert_eq!(with(0).len(), 2);
    store.unset("k").unwrap();
    store.set("k", "").unwrap();
    assert_eq!(store.labels("k").unwrap(), Some(0), "a new key has none");
    assert_eq!(store.label("absent", 1, 0).unwrap(), None);
}

#[test]
fn labels_have_names_that_every_process_sees() {
    let store = store();
    let other = Store::open(store.path()).unwrap();
    store.name_label(0, "hot").unwrap();
    store.name_label(63, "größer").unwrap();
    assert_eq!(
        other.label_names().unwrap(),
        [(0, "hot".to_string()), (63, "größer".to_string())]
    );
    other.name_label(0, "hot").unwrap();
    other.name_label(0, "cold").unwrap();
    store.name_label(63, "").unwrap();
    assert_eq!(store.label_names().unwrap(), [(0, "cold".to_string())]);
    for (label, name) in [(64, "x"), (1, "cold"), (1, "nul\0"), (1, &"x".repeat(57))] {
        let error = store.name_label(label, name).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{label} {name}");
    }
}

#[test]
fn a_watch_of_labels_tells_of_the_keys_that_have_them() {
    let store = store();
    store.set("has", "1").unwrap();
    store.label("has", 2, 0).unwrap();
    store.set("has not", "1").unwrap();
    let options = WatchOptions::new().initial(true).labels(2);
    let mut watcher = store.watch_with(Pattern::all(), &options).unwrap();
    let mut next = || {
        let event = watcher.try_next().unwrap();
        event.map(|event| (event.key.to_string(), event.kind))
    };
    assert_eq!(next(), Some(("has".into(), EventKind::Set)));
    assert_eq!(next(), None);
    store.set("has not", "2").unwrap();
    assert_eq!(next(), None);
    store.label("has not", 2, 0).unwrap();
    assert_eq!(next(), Some(("has not".into(), EventKind::Set)), "it gets the label");
    store.set("has not", "3").unwrap();
    assert_eq!(next(), Some(("has not".into(), EventKind::Set)));
    store.label("has not", 0, 2).unwrap();
    assert_eq!(next(), None, "it loses the label");
    store.unset("has not").unwrap();
    assert_eq!(next(), None, "it had lost the label");
    store.unset("has").unwrap();
    assert_eq!(next(), Some(("has".into(), EventKind::Unset)));
}

#[test]
fn a_change_of_attributes_is_told_in_the_feed_and_wakes_no_watch_of_values() {
    let store = store();
    store.set("k", "v").unwrap();
    let mut watcher = store.watch("k").unwrap();
    let mut changes = store.changes().unwrap();
    store.label("k", 1, 0).unwrap();
    store.label("k", 1, 0).unwrap();
    store.expire("k", LATE).unwrap();
    store.pin("k", true).unwrap();
    store.persist("k").unwrap();
    assert_eq!(watcher.try_next().unwrap(), None);
    assert_eq!(kinds(&mut changes), ["attributes"; 4], "no change, no entry");
    store.append("k", "w").unwrap();
    assert_eq!(watcher.try_next().unwrap().unwrap().kind, EventKind::Set);
}

#[test]
fn a_value_is_read_in_place_whole_beside_a_writer() {
    let store = OpenOptions::new().slots(4).max_value_bytes(4096).anonymous().unwrap();
    store.set("k", vec![0; 4096]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&done);
        scope.spawn(|| {
            for i in 0_u32.. {
                store.set("k", vec![i as u8; 1 + i as usize % 4096]).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..20_000 {
            let is_whole = store
                .get_with("k", |bytes| {
                    let first = bytes[0].load(Ordering::Relaxed);
                    bytes.iter().all(|byte| byte.load(Ordering::Relaxed) == first)
                })
                .unwrap();
            assert_eq!(is_whole, Some(true));
        }
    });
    assert_eq!(store.get_with("absent", |_| ()).unwrap(), None);
}

#[test]
fn a_namespace_is_the_keys_behind_a_prefix() {
    let store = store();
    store.set("outside", "").unwrap();
    let demo = store.namespace("demo::");
    demo.set("a", "1").unwrap();
    demo.namespace("sub::").set("b", "2").unwrap();
    assert_eq!(store.get_vec("demo::sub::b").unwrap().unwrap(), b"2");
    let mut keys: Vec<_> = demo.list().map(|entry| entry.unwrap().key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "sub::b"]);
    assert_eq!(demo.get_many(&["a", "b"]).unwrap(), [Some(b"1".to_vec()), None]);
    assert!(!demo.contains("outside").unwrap());
    assert_eq!(demo.key("a").unwrap().get_vec().unwrap().unwrap(), b"1");
    assert_eq!(demo.unset("a").unwrap(), Some(1));
}
