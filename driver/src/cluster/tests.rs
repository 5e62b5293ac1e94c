//! Each thing that can be wrong, with the line and column where it is; and what a right file means.

use std::path::Path;

use super::*;

const GOOD: &str = include_str!("../../../docs/cluster.toml");

fn parse(text: &str) -> Result<Cluster> {
    Cluster::parse(Path::new("c.toml"), text)
}

/// The example with `from` replaced must fail at `at` (line:column) with `part` in the message.
fn wrong(from: &str, to: &str, at: &str, part: &str) {
    assert_eq!(GOOD.matches(from).count(), 1, "{from:?} is in the example once");
    let e = parse(&GOOD.replacen(from, to, 1)).expect_err(to);
    assert_eq!(e.kind(), ErrorKind::BadFile, "{e}");
    assert!(e.message().starts_with(&format!("c.toml:{at}: ")), "not at {at}: {e}");
    assert!(e.message().contains(part), "no {part:?} in: {e}");
}

#[test]
fn the_example_says_what_each_node_opens() {
    let cluster = parse(GOOD).expect("the example");
    assert_eq!(
        cluster.uri("shared", 0).expect("lender"),
        "thymesisflow:IBM,RMEM?role=memory&port=0&size=4G&max=4G&base=0x900000000000&slot=0&nodes=8&node=0\
         &name=shared&len=4G"
    );
    assert_eq!(
        cluster.uri("shared", 1).expect("borrower"),
        "thymesisflow:IBM,RMEM?role=compute&port=0&section=0&via=%2Fdev%2Ftfshmem&size=4G&max=4G\
         &base=0x900000000000&slot=0&nodes=8&node=1&name=shared&len=4G&ea=0x900000000000&off=0"
    );
    assert_eq!(cluster.region("shared").expect("region").address(), 0x9000_0000_0000);
    let e = cluster.uri("shard", 0).expect_err("no such region");
    assert!(e.message().contains("has no region \"shard\"; it has shared"), "{e}");
    let e = cluster.uri("shared", 7).expect_err("no such node");
    assert!(e.message().contains("0 (lender), 1 (borrower)"), "{e}");
    let e = cluster.node_here().expect_err("this machine is none of them");
    assert!(e.message().contains("lender: ac922-1; borrower: ac922-2"), "{e}");
}

#[test]
fn sections_are_a_terabyte_apart() {
    let cluster = parse(&GOOD.replace("section = 0", "section = 3")).expect("section 3");
    let uri = cluster.uri("shared", 1).expect("uri");
    assert!(uri.contains("&ea=0x900000000000&") && uri.ends_with("&off=3T"), "{uri}");
}

#[test]
fn this_machine_knows_its_node() {
    let host = host_name().expect("host name");
    let cluster = parse(&GOOD.replace("ac922-2", &host)).expect("cluster");
    assert_eq!(cluster.node_here().expect("here").id, 1);
}

#[test]
fn syntax() {
    wrong("id = 1", "id = = 1", "11:6", "");
    wrong("name = \"borrower\"", "name = \"borrower", "10:17", "");
    wrong("id = 1", "id = 1\nid = 2", "12:1", "duplicate key");
}

#[test]
fn unknown_keys() {
    wrong("id = 1", "id = 1\nhost = 3", "12:1", "unknown key \"host\"; known: name, id, hosts");
    wrong(
        "slot = 0 ",
        "slot = 0\nsizes = 3 ",
        "20:1",
        "region \"shared\": unknown key \"sizes\"; known: name, owner, on, size",
    );
    wrong(
        "section = 0",
        "sektion = 0",
        "30:1",
        "region \"shared\" on \"borrower\": unknown key \"sektion\"; known: device",
    );
    wrong(
        "id = 1",
        "id = 1\n[nodes]",
        "12:2",
        "the cluster file: unknown key \"nodes\"; known: node, region",
    );
    wrong("slot = 0 ", "slot = 0\nmode = \"0600\" ", "20:8", "csm create 'cluster:shared?mode=...'");
    wrong("section = 0", "bar = 0", "30:7", "bar is no option of thymesisflow: regions");
}

#[test]
fn missing_keys() {
    wrong("id = 1", "", "9:1", "node: id is missing; add id = 0");
    wrong("size = \"4G\"", "", "14:1", "region \"shared\": size is missing; add size = \"4G\"");
    wrong("owner = \"lender\"", "", "14:1", "owner is missing");
    wrong("slot = 0 ", "# ", "14:1", "slot is missing");
    wrong("role = \"compute\"", "", "26:1", "role is missing");
    wrong(
        "device = \"thymesisflow:IBM,RMEM\"\nrole = \"memory\"",
        "role = \"memory\"",
        "21:1",
        "device is missing",
    );
    let e = parse("[[node]]\nname = \"a\"\nid = 0\n").expect_err("no region");
    assert!(e.message().contains("there is no [[region]]"), "{e}");
    let e = parse("# å\n\"é\" = 1\nnode = 3\n").expect_err("no such key");
    assert!(e.message().starts_with("c.toml:2:1: the cluster file: unknown key \"é\""), "{e}");
    let e = parse("node = 3\n").expect_err("no tables");
    assert!(e.message().starts_with("c.toml:1:8: the cluster file: node is integer; write [[node]]"), "{e}");
}

#[test]
fn values() {
    wrong("id = 1", "id = \"1\"", "11:6", "node: id is of type string; write a whole number");
    wrong("id = 1", "id = -1", "11:6", "id = -1: write a whole number");
    wrong("id = 1", "id = 4096", "11:6", "nodes are numbered 0 to 4095");
    wrong("name = \"borrower\"", "name = \"b/c\"", "10:8", "\"b/c\": a name has 1 to 64 letters");
    wrong("hosts = [\"ac922-2\"]", "hosts = \"ac922-2\"", "12:9", "write an array of strings");
    wrong("hosts = [\"ac922-2\"]", "hosts = [\"x\", 3]", "12:15", "write a string");
    wrong("size = \"4G\"", "size = \"4X\"", "17:8", "unknown unit");
    wrong("size = \"4G\"", "size = \"3M\"", "17:8", "multiple of 2 MiB");
    wrong("size = \"4G\"", "size = 4096", "17:8", "multiple of 2 MiB");
    wrong("size = \"4G\"", "size = \"2T\"", "17:8", "1 TiB at most");
    wrong(
        "size = \"4G\"",
        "size = \"4G\"\nmax = \"2G\"",
        "18:7",
        "max = 2.0 GiB: below size, which is 4.0 GiB",
    );
    wrong("slot = 0 ", "slot = 21 ", "19:8", "slots are 0 to 20");
    wrong("slot = 0 ", "slot = \"auto\" ", "19:8", "write a whole number");
    wrong(
        "0x9000_0000_0000",
        "0x9000_0000_1000",
        "18:8",
        "0x900000001000: the address of slot 0 is a multiple of 1 TiB",
    );
    wrong("slot = 0 ", "slot = 0\nnodes = 1 ", "20:9", "there is a node 1; write 2 or more");
    wrong(
        "device = \"thymesisflow:IBM,RMEM\"\nrole = \"memory\"",
        "device = \"rdma:x\"\nrole = \"memory\"",
        "22:10",
        "unknown scheme \"rdma\"",
    );
    wrong(
        "device = \"thymesisflow:IBM,RMEM\"\nrole = \"memory\"",
        "device = \"dax:/dev/dax0.0?off=2M\"",
        "22:10",
        "as keys of this table",
    );
    wrong("section = 0", "section = 8", "30:11", "the card has sections 0 to 7");
    wrong("port = 0\nsection", "port = 2\nsection", "29:8", "port: port \"2\": write 0, 1 or both");
    wrong(
        "role = \"compute\"",
        "role = \"computer\"",
        "28:8",
        "\"computer\"; write \"memory\" (lends) or \"compute\"",
    );
    wrong(
        "section = 0",
        "ea = 0x9000_0000_0040",
        "30:6",
        "the lender maps this region at 0x900000000000; leave ea out",
    );
    wrong("role = \"memory\"", "role = \"memory\"\nsection = 1", "24:11", "is for the compute role");
    wrong("size = \"4G\"", "size = \"1T\"", "21:1", "do not fit a section of 1 TiB");
    wrong(
        "via = \"/dev/tfshmem\" ",
        "via = \"hotplug\" ",
        "31:7",
        "no region can be in it; name a character device",
    );
}

#[test]
fn nodes_that_are_not_there_or_twice() {
    wrong(
        "owner = \"lender\"",
        "owner = \"landlord\"",
        "16:9",
        "\"landlord\": no such node; there are lender, borrower",
    );
    wrong(
        "owner = \"lender\"",
        "owner = \"borrower\"",
        "16:9",
        "that is node 1, and regions are owned by node 0",
    );
    wrong(
        "[region.on.borrower]",
        "[region.on.debtor]",
        "26:12",
        "no node \"debtor\"; there are lender, borrower",
    );
    wrong("name = \"borrower\"", "name = \"lender\"", "9:1", "another node has the name \"lender\"");
    wrong("id = 1", "id = 0", "9:1", "another node has the id 0");
    wrong("hosts = [\"ac922-2\"]", "hosts = [\"AC922-1\"]", "9:1", "another node has the host \"AC922-1\"");
}

#[test]
fn lenders() {
    wrong(
        "role = \"compute\"\nport = 0\nsection = 0\nvia = \"/dev/tfshmem\" ",
        "role = \"memory\"",
        "26:12",
        "\"borrower\" is the second node to lend it",
    );
    let swapped = GOOD
        .replace("\"memory\"", "\"M\"")
        .replace("\"compute\"\nport = 0\nsection = 0\nvia = \"/dev/tfshmem\" ", "\"memory\"")
        .replace("\"M\"", "\"compute\"");
    let e = parse(&swapped).expect_err("a borrower that owns");
    assert!(
        e.message().starts_with("c.toml:26:12: ") && e.message().contains("\"borrower\" lends it"),
        "{e}"
    );
    wrong("role = \"memory\"", "role = \"compute\"", "14:1", "nobody lends it");
}

const SECOND: &str = "
[[region]]
name = \"more\"
owner = \"lender\"
size = \"1G\"
slot = 16
base = 0x8000_0000_0000
[region.on.lender]
device = \"dax:/dev/dax0.0\"
[region.on.borrower]
device = \"dax:/dev/dax0.0\"
";

/// The example and a second region, in which `from` is replaced.
fn wrong_second(from: &str, to: &str, at: &str, part: &str) {
    assert!(SECOND.contains(from), "{from}");
    let e = parse(&format!("{GOOD}{}", SECOND.replace(from, to))).expect_err(to);
    assert!(e.message().starts_with(&format!("c.toml:{at}: ")), "not at {at}: {e}");
    assert!(e.message().contains(part), "no {part:?} in: {e}");
}

#[test]
fn two_regions() {
    let second = SECOND.replace("slot = 16", "slot = 1");
    let cluster = parse(&format!("{GOOD}{second}")).expect("two regions");
    assert_eq!(
        cluster.uri("more", 1).expect("more"),
        "dax:/dev/dax0.0?size=1G&max=1G&base=0x800000000000&slot=1&nodes=8&node=1"
    );
    wrong_second("\"more\"", "\"shared\"", "33:1", "another region has the name \"shared\"");
    wrong_second(
        "owner",
        "owner",
        "39:12",
        "its address 0x900000000000 is that of region \"shared\" (base 0x900000000000, slot 0)",
    );
    let afu = "slot = 1\nbase = 0x8000_0000_0000\n[region.on.lender]\ndevice = \"thymesisflow:IBM,RMEM\"\nrole = \"memory\"\nport = 1\n[region.on.borrower]\ndevice = \"thymesisflow:IBM,RMEM\"\nrole = \"compute\"\nport = 1\n";
    let tail = SECOND.split_once("slot = 16").expect("slot").1;
    let tail = format!("slot = 16{tail}");
    wrong_second(&tail, afu, "39:12", "the memory side of AFU \"IBM,RMEM\" is used by region \"shared\"");
    wrong_second(&tail, &afu.replace("port = 1", "port = \"both\""), "39:12", "port 0 of AFU \"IBM,RMEM\"");
    wrong_second("dax:/dev/dax0.0\"\n[", "shm:x\"\n[", "41:12", "but other nodes have it by shm:");
    let all = SECOND
        .replace("slot = 16", "slot = 1")
        .replacen("dax:/dev/dax0.0", "shm:x", 1)
        .replace("dax:/dev/dax0.0", "shm:y");
    let e = parse(&format!("{GOOD}{all}")).expect_err("two names");
    assert!(e.message().contains("\"shm:y\" is not \"shm:x\""), "{e}");
    wrong_second(
        "[region.on.lender]\ndevice = \"dax:/dev/dax0.0\"\n",
        "",
        "33:1",
        "its owner has no device; add [region.on.lender]",
    );
}

#[test]
fn a_file_that_is_not_there() {
    let e = Cluster::load(Path::new("/nonexistent/cluster.toml")).expect_err("not there");
    assert_eq!(e.errno(), libc::ENOENT);
    assert!(
        e.message().contains("read cluster file \"/nonexistent/cluster.toml\"")
            && e.message().contains("$CSM_CLUSTER"),
        "{e}"
    );
}
