//! What is no store is refused with the right error, whoever made it look like one.

#[path = "common/abuse.rs"]
mod abuse;
#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use abuse::{become_nobody, impatient, region_with_keys, use_all};
use bytes::{CHECKSUM_AT, IDENTITY_BYTES, Parts, Random, memory_file, sign};
use process::in_child;
use splinter::{Error, ErrorCode, Geometry, OpenOptions, Store};
use tempfile::tempdir;

/// How an open ends; `None` if it succeeds.
fn refusal(result: Result<Store, Error>) -> Option<ErrorCode> {
    result.err().map(|error| {
        assert!(!error.to_string().is_empty());
        error.code()
    })
}

/// All ways of opening something that exists end with the same error.
fn assert_refused(path: &Path, expected: ErrorCode, what: &str) {
    let ways: [(&str, Result<Store, Error>); 4] = [
        ("open", OpenOptions::new().open(path)),
        ("open read-only", OpenOptions::new().read_only(true).open(path)),
        ("open_or_create", OpenOptions::new().open_or_create(path)),
        ("create_or_open", OpenOptions::new().create_or_open(path)),
    ];
    for (way, result) in ways {
        assert_eq!(refusal(result), Some(expected), "{way}: {what}");
    }
}

/// The same for a file of these bytes.
fn assert_bytes_refused(bytes: &[u8], expected: ErrorCode, what: &str) {
    let (file, path) = memory_file();
    file.write_all_at(bytes, 0).unwrap();
    assert_refused(&path, expected, what);
    assert!(std::fs::read(&path).unwrap() == bytes, "changed: {what}");
}

/// The tests know the layout by its description: were it wrong, they would damage something else than they say.
#[test]
fn a_region_is_as_long_as_its_description_says() {
    for (slots, value, key, journal) in [
        (1, 1, 1, 64),
        (8, 192, 16, 64),
        (100, 4096, 64, 4096),
        (1000, 100_000, 1024, 128),
    ] {
        let geometry = Geometry::new(slots, value)
            .and_then(|geometry| geometry.with_max_key_bytes(key))
            .and_then(|geometry| geometry.with_journal_entries(journal))
            .unwrap();
        let store = OpenOptions::new().geometry(geometry).anonymous().unwrap();
        let region_bytes = store.header_snapshot().unwrap().region_bytes;
        assert_eq!(region_bytes, Parts::of(&geometry).region_bytes as u64, "{geometry:?}");
        store.set("k", "v").unwrap();
        let offset = store.slot_snapshot("k").unwrap().unwrap().value_offset as usize;
        assert!(Parts::of(&geometry).values.contains(&offset), "{geometry:?}");
    }
}

#[test]
fn what_does_not_exist_is_no_such_store() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for path in [
        directory.path().join("none"),
        directory.path().join("no/ne"),
        file.join("x"),
    ] {
        for read_only in [false, true] {
            let result = OpenOptions::new().read_only(read_only).open(&path);
            assert_eq!(refusal(result), Some(ErrorCode::NoSuchStore), "{path:?}");
        }
    }
    let named = OpenOptions::new()
        .memory(true)
        .open("splinter-test-of-a-name-that-nobody-has");
    assert_eq!(refusal(named), Some(ErrorCode::NoSuchStore));
}

#[test]
fn what_cannot_be_a_path_is_an_invalid_argument() {
    let nul = Path::new(std::ffi::OsStr::from_bytes(b"a\0b"));
    for path in [
        Path::new(""),
        nul,
        Path::new(&"x".repeat(300)),
        Path::new(&"x/".repeat(3000)),
    ] {
        assert_refused(path, ErrorCode::InvalidArgument, "a path that cannot be");
        for result in [
            OpenOptions::new().create(path),
            OpenOptions::new().memory(true).open(path),
        ] {
            assert_eq!(refusal(result), Some(ErrorCode::InvalidArgument));
        }
    }
}

#[test]
fn what_is_not_a_regular_file_is_not_a_store() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("directory")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let _socket = UnixListener::bind(at("socket")).unwrap();
    drop(Store::create(at("store")).unwrap());
    symlink("store", at("link to a store")).unwrap();
    symlink("nowhere", at("link to nowhere")).unwrap();
    symlink("link to itself", at("link to itself")).unwrap();
    for name in [
        "directory",
        "fifo",
        "socket",
        "link to a store",
        "link to nowhere",
        "link to itself",
    ] {
        // In a child, so that an open that waits for the FIFO's other end is found out.
        in_child(|_| assert_refused(&at(name), ErrorCode::NotAStore, name));
    }
    for device in ["/dev/null", "/dev/zero"] {
        assert_refused(Path::new(device), ErrorCode::NotAStore, device);
    }
    assert!(!at("nowhere").exists(), "nothing was created through a link");
}

#[test]
fn a_link_on_the_way_to_a_store_is_followed() {
    let directory = tempdir().unwrap();
    std::fs::create_dir(directory.path().join("real")).unwrap();
    symlink("real", directory.path().join("link")).unwrap();
    drop(Store::create(directory.path().join("link/s")).unwrap());
    Store::open(directory.path().join("real/s")).unwrap();
}

#[test]
fn a_file_that_may_not_be_read_is_a_matter_of_permission() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    OpenOptions::new().mode(0o000).create(&path).unwrap();
    in_child(|_| {
        become_nobody(directory.path());
        assert_refused(&path, ErrorCode::Permission, "no permission");
    });
}

#[test]
fn a_file_of_other_content_is_not_a_store() {
    assert_bytes_refused(b"", ErrorCode::NotAStore, "empty");
    assert_bytes_refused(b"SPLB", ErrorCode::NotAStore, "the magic alone");
    assert_bytes_refused(&b"Dear reader,\n".repeat(9000), ErrorCode::NotAStore, "text");
    assert_bytes_refused(&[0; 200_000], ErrorCode::NotAStore, "zeros");
    let (file, path) = memory_file();
    let mut random = Random::new(1);
    for _ in 0..300 {
        let mut bytes = vec![0; random.below(9000)];
        random.fill(&mut bytes);
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        for read_only in [false, true] {
            let result = OpenOptions::new().read_only(read_only).open(&path);
            assert_eq!(refusal(result), Some(ErrorCode::NotAStore));
        }
    }
}

#[test]
fn random_bytes_behind_a_right_beginning_are_corrupt() {
    let region = region_with_keys();
    let (file, path) = memory_file();
    let mut random = Random::new(2);
    for _ in 0..300 {
        let mut bytes = vec![0; 16 + random.below(9000)];
        random.fill(&mut bytes);
        // Magic, version and fingerprint are right.
        bytes[..16].copy_from_slice(&region[..16]);
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        for read_only in [false, true] {
            let result = OpenOptions::new().read_only(read_only).open(&path);
            assert_eq!(refusal(result), Some(ErrorCode::Corrupt));
        }
    }
}

#[test]
fn a_store_cut_at_any_length_is_refused() {
    let region = region_with_keys();
    let (file, path) = memory_file();
    file.write_all_at(&region, 0).unwrap();
    let options = [false, true].map(|read_only| OpenOptions::new().read_only(read_only));
    drop(options[0].open(&path).unwrap());
    for bytes in (0..region.len()).rev() {
        file.set_len(bytes as u64).unwrap();
        let expected = if bytes < 8 {
            ErrorCode::NotAStore
        } else {
            ErrorCode::Corrupt
        };
        for options in &options {
            assert_eq!(refusal(options.open(&path)), Some(expected), "{bytes} bytes");
        }
    }
}

#[test]
fn an_identity_of_another_format_is_incompatible_and_of_another_kind_not_a_store() {
    let region = region_with_keys();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = region.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let both = |changed: Vec<u8>, expected, what: &str| {
        assert_bytes_refused(&changed, expected, what);
        let mut signed = changed;
        sign(&mut signed);
        assert_bytes_refused(&signed, expected, what);
    };
    for magic in [*b"splb", *b"BLPS", [0; 4], [0xff; 4], *b"\x7fELF", *b"SPLC", *b"RPLB"] {
        both(with(0, &magic), ErrorCode::NotAStore, "magic");
    }
    for version in [0_u32, 2, 3, 0x0100_0000, u32::MAX] {
        both(with(4, &version.to_le_bytes()), ErrorCode::Incompatible, "version");
    }
    let fingerprint = u64::from_le_bytes(region[8..16].try_into().unwrap());
    for other in [0, 1, !fingerprint, fingerprint + 1, fingerprint.swap_bytes(), u64::MAX] {
        both(with(8, &other.to_le_bytes()), ErrorCode::Incompatible, "fingerprint");
    }
}

/// Whether other numbers in an identity describe a region of this very length: then nothing is wrong with them.
fn fits_together(identity: &[u8], region_bytes: usize) -> bool {
    let number = |at: usize| u32::from_le_bytes(identity[at..at + 4].try_into().unwrap());
    Geometry::new(number(16), number(24))
        .and_then(|geometry| geometry.with_max_key_bytes(number(20)))
        .and_then(|geometry| geometry.with_journal_entries(number(28)))
        .is_ok_and(|geometry| {
            geometry.journal_entries() == number(28)
                && Parts::of(&geometry).region_bytes == region_bytes
                && identity[32..40] == (region_bytes as u64).to_le_bytes()
                && identity[72..].iter().all(|&byte| byte == 0)
        })
}

#[test]
fn an_identity_with_hostile_numbers_is_corrupt() {
    let region = region_with_keys();
    let (file, path) = memory_file();
    file.write_all_at(&region, 0).unwrap();
    let assert_corrupt = |identity: &[u8], what: &str| {
        file.write_all_at(identity, 0).unwrap();
        for read_only in [false, true] {
            let result = OpenOptions::new().read_only(read_only).open(&path);
            assert_eq!(refusal(result), Some(ErrorCode::Corrupt), "{what}");
        }
    };
    let identity = &region[..IDENTITY_BYTES];
    let fields = [
        ("slots", 16, 1 << 26),
        ("key", 20, 1024),
        ("value", 24, 1 << 30),
        ("journal", 28, 1 << 24),
    ];
    for (name, at, max) in fields {
        let is = u32::from_le_bytes(identity[at..at + 4].try_into().unwrap());
        let hostile = [
            0,
            1,
            is - 1,
            is + 1,
            is * 2,
            is * 8,
            max - 1,
            max,
            max + 1,
            1 << 31,
            u32::MAX - 1,
            u32::MAX,
        ];
        for number in hostile.into_iter().filter(|&number| number != is) {
            let mut changed = identity.to_vec();
            changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
            assert_corrupt(&changed, &format!("{name} {number}, old checksum"));
            sign(&mut changed);
            if !fits_together(&changed, region.len()) {
                assert_corrupt(&changed, &format!("{name} {number}"));
            }
        }
    }
    let is = region.len() as u64;
    for number in [
        0,
        1,
        is - 1,
        is + 1,
        is - 4096,
        is + 4096,
        1 << 32 | is,
        1 << 63,
        i64::MAX as u64,
        u64::MAX,
    ] {
        let mut changed = identity.to_vec();
        changed[32..40].copy_from_slice(&number.to_le_bytes());
        assert_corrupt(&changed, "length, old checksum");
        sign(&mut changed);
        assert_corrupt(&changed, &format!("length {number}"));
    }
    for byte in 16..IDENTITY_BYTES {
        for bit in 0..8 {
            let mut changed = identity.to_vec();
            changed[byte] ^= 1 << bit;
            assert_corrupt(&changed, &format!("bit {bit} of byte {byte}"));
            // The store's id and its birthday may be anything; the rest must fit together even if the checksum does.
            if !(40..CHECKSUM_AT + 8).contains(&byte) {
                sign(&mut changed);
                if !fits_together(&changed, region.len()) {
                    assert_corrupt(&changed, &format!("bit {bit} of byte {byte}, signed"));
                }
            }
        }
    }
    file.write_all_at(identity, 0).unwrap();
    drop(Store::open(&path).unwrap());
}

/// An identity that fits together is believed, whatever it says, and whatever follows it.
#[test]
fn a_consistent_lie_about_the_geometry_does_no_harm() {
    let region = region_with_keys();
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    in_child(|page| {
        let mut random = Random::new(3);
        for (step, (slots, key, value, journal)) in [
            (1, 1, 129, 64),
            (7, 16, 192, 64),
            (8, 17, 300, 128),
            (65, 1024, 200, 64),
            (500, 3, 5000, 4096),
            (3, 9, 1 << 20, 64),
        ]
        .into_iter()
        .enumerate()
        {
            page.step(step as u64);
            let lie = Geometry::new(slots, value)
                .and_then(|geometry| geometry.with_max_key_bytes(key))
                .and_then(|geometry| geometry.with_journal_entries(journal))
                .unwrap();
            let bytes = Parts::of(&lie).region_bytes;
            let mut lying = vec![0; bytes];
            random.fill(&mut lying);
            let truth = region.len().min(bytes);
            lying[..truth].copy_from_slice(&region[..truth]);
            for (at, number) in [(16, slots), (20, key), (24, value), (28, journal)] {
                lying[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            lying[32..40].copy_from_slice(&(bytes as u64).to_le_bytes());
            sign(&mut lying);
            std::fs::write(&path, &lying).unwrap();
            let store = impatient().open(&path).unwrap();
            assert_eq!(*store.geometry(), lie);
            use_all(&store, &mut random, Some(&directory.path().join("backup")));
            use_all(&impatient().read_only(true).open(&path).unwrap(), &mut random, None);
            drop(store);
            std::fs::write(&path, &lying[..bytes - 1]).unwrap();
            assert_eq!(refusal(impatient().open(&path)), Some(ErrorCode::Corrupt));
        }
    });
}
