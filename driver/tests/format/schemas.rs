//! Schema blobs that no producer made.

use csm::ErrorKind;
use csm::table::schema::{MAX_DEPTH, Schema};

/// One field of a blob: format, name, number of children, and whether a dictionary follows them.
struct Flat(&'static str, &'static [u8], u32, u32);

const NO_METADATA: u32 = u32::MAX;

/// A blob as the descriptor keeps it, written out by hand.
fn blob(fields: &[Flat]) -> Vec<u8> {
    let mut blob = vec![];
    blob.extend((fields.len() as u32).to_le_bytes());
    blob.extend([0; 4]);
    for Flat(format, name, n_children, dictionary) in fields {
        for word in [format.len() as u32, name.len() as u32, NO_METADATA, 2, *n_children, *dictionary] {
            blob.extend(word.to_le_bytes());
        }
        blob.push(0);
        for text in [format.as_bytes(), name] {
            blob.extend(text);
            blob.push(0);
        }
        blob.resize(blob.len().next_multiple_of(8), 0);
    }
    blob
}

fn parse(blob: &[u8]) -> csm::Result<Schema> {
    Schema::parse(blob.into(), 0..blob.len())
}

fn refuse(fields: &[Flat], what: &str) {
    let e = parse(&blob(fields)).unwrap_err();
    assert!(e.kind() == ErrorKind::Corrupt && e.message().contains(what), "{e}");
}

#[test]
fn trees_that_no_array_can_have_are_refused() {
    let root = |n| Flat("+s", b"", n, 0);
    let int = || Flat("i", b"i", 0, 0);
    let schema = parse(&blob(&[root(2), int(), Flat("u", "é".as_bytes(), 0, 0)])).unwrap();
    assert_eq!((schema.n_columns(), schema.n_nodes(), schema.name(2)), (2, 3, "é"));
    assert_eq!((schema.column(1), schema.column(2)), (Some(2), None));

    refuse(&[], "0 nodes");
    refuse(&[int()], "a table is a struct");
    refuse(&[root(1)], "more nodes than the 1 announced");
    refuse(&[root(0), int()], "bytes are left");
    refuse(&[root(1), Flat("q", b"", 0, 0)], "\"q\"");
    refuse(&[root(1), Flat("i", b"x\0y", 0, 0)], "not UTF-8 without zero bytes");
    refuse(&[root(1), Flat("i", b"\xFF", 0, 0)], "not UTF-8");
    refuse(&[root(1), Flat("i", b"x", 0, 2), int()], "2 dictionaries");
    refuse(&[root(1), Flat("u", b"x", 0, 1), int()], "indices are integers");
    refuse(&[root(1), Flat("i", b"x", 1, 0), int()], "1 children instead of 0");
    refuse(&[root(1), Flat("+m", b"m", 1, 0), int()], "key and value");
    refuse(&[root(1), Flat("+m", b"m", 1, 0), Flat("+s", b"", 1, 0), int()], "key and value");
    refuse(&[root(1), Flat("+r", b"r", 2, 0), Flat("I", b"", 0, 0), int()], "run ends");
    refuse(&[root(1), Flat("+r", b"r", 2, 0), Flat("c", b"", 0, 0), int()], "run ends");
    refuse(&[root(1), Flat("+r", b"r", 2, 0), Flat("i", b"", 0, 1), int(), int()], "run ends");
}

#[test]
fn depth_is_limited() {
    let deep = |levels: usize| {
        let mut fields = vec![Flat("+s", b"", 1, 0)];
        fields.extend((1..levels).map(|_| Flat("+l", b"", 1, 0)));
        fields.push(Flat("i", b"", 0, 0));
        parse(&blob(&fields))
    };
    assert!(deep(MAX_DEPTH).is_ok());
    for levels in [MAX_DEPTH + 1, if cfg!(miri) { 100 } else { 500_000 }] {
        let e = deep(levels).unwrap_err();
        assert!(e.kind() == ErrorKind::Corrupt && e.message().contains("deeper than 64"), "{e}");
    }
}

#[test]
fn bytes_that_mean_nothing_are_zero() {
    let good = blob(&[Flat("+s", b"abc", 0, 0)]);
    // Node count, zero; six words; metadata's end, "+s" and its end, "abc" and its end; padding.
    let (reserved, ends, padding) = (4..8, [32, 35, 39], 40..40);
    assert_eq!(good.len(), 40);
    for at in reserved.chain(ends).chain(padding) {
        let mut bad = good.clone();
        bad[at] = 1;
        assert_eq!(parse(&bad).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
    }
    let mut bad = blob(&[Flat("+s", b"", 0, 0)]);
    *bad.last_mut().unwrap() = 1;
    assert!(parse(&bad).unwrap_err().message().contains("padding"));
}

#[test]
fn metadata_is_walked() {
    let with = |metadata: &[u8]| {
        let mut blob = blob(&[Flat("+s", b"", 0, 0)]);
        blob[16..20].copy_from_slice(&(metadata.len() as u32).to_le_bytes());
        blob.splice(32..32, metadata.iter().copied());
        blob.truncate(32 + metadata.len() + 5);
        blob.resize(blob.len().next_multiple_of(8), 0);
        parse(&blob)
    };
    let pair = b"\x01\0\0\0\x01\0\0\0k\x02\0\0\0vw";
    assert_eq!(with(pair).unwrap().metadata(0), Some(&pair[..]));
    assert_eq!(with(&[0; 4]).unwrap().metadata(0), Some(&[0; 4][..]));
    for bad in
        [&b""[..], &pair[..14], b"\x01\0\0\0", b"\0\0\0\0x", b"\xFF\xFF\xFF\xFF", &[pair, &b"x"[..]].concat()]
    {
        let e = with(bad).unwrap_err();
        assert!(e.kind() == ErrorKind::Corrupt && e.message().contains("metadata"), "{e}");
    }
}
