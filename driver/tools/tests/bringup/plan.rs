//! What `plan` says of the example: the reference's cluster of two nodes, register by register.

use crate::{Scratch, example};

const PLAN: &str = r#"FILE: 2 nodes, 1 regions; nothing wrong with it

region shared: 4.0 GiB, 4.0 GiB at most, at 0x900000000000, owned by node 0
  its effective address (EA) for the borrowers: 0x900000000000
  1. on node 0 (lender, host ac922-1)
     $ csm-bringup attach --cluster FILE --region shared --node 0
     thymesisflow:IBM,RMEM?role=memory&port=0&size=4G&max=4G&base=0x900000000000&slot=0&nodes=8&node=0&name=shared&len=4G
     - make /dev/shm/csm-tf.shared: 4.0 GiB and the link zone of 2.0 MiB; map it at 0x900000000000, lock it
     - open AFU IBM,RMEM, attach this process's address space (PASID), map global and per-PASID MMIO
     - write 0x00 = 0x1: initialise the tag FIFO, send ACTAG
     - write 0x78 = 0x1: Aurora channels of port 0 out of reset
     - write "attached" to the lender's line in the link zone, at 0x900100000000
  2. on node 1 (borrower, host ac922-2)
     $ csm-bringup attach --cluster FILE --region shared --node 1
     thymesisflow:IBM,RMEM?role=compute&port=0&section=0&via=%2Fdev%2Ftfshmem&size=4G&max=4G&base=0x900000000000&slot=0&nodes=8&node=1&name=shared&len=4G&ea=0x900000000000&off=0
     - open AFU IBM,RMEM, map its global MMIO
     - write 0x78 = 0x1: Aurora channels of port 0 out of reset
     - write 0x20 = 0x900000000001: section 0 leads to 0x900000000000 through port 0
     - train: ask the link zone through /dev/tfshmem at offset 0x100000000 until its known answers come back
     - write "attached" to the borrower's line, through the link
  and back, in this order:
  on node 1 (borrower) $ csm-bringup detach --cluster FILE --region shared --node 1
     - write "detached" to the borrower's line, through the link
     - write 0x20 = 0x0: section 0 leads nowhere
     - write 0x78 = 0x0: the Aurora channels in reset
     - close the AFU
  on node 0 (lender) $ csm-bringup detach --cluster FILE --region shared --node 0
     - refuse while the borrower's line in the link zone says that it is attached
     - write "detached" to the lender's line
     - write 0x78 = 0x0: the Aurora channels in reset
     - write 0x00 = 0x0
     - close the AFU, remove /dev/shm/csm-tf.shared
"#;

#[test]
fn the_reference_s_cluster() {
    let scratch = Scratch::new("plan");
    let file = example();
    let file = file.to_str().expect("UTF-8");
    assert_eq!(scratch.ok(&["plan", file]).replace(file, "FILE"), PLAN);
}

#[test]
fn one_node_of_it() {
    let scratch = Scratch::new("plan-node");
    let file = example();
    let file = file.to_str().expect("UTF-8");
    let text = scratch.ok(&["plan", file, "--node", "1"]);
    assert!(text.contains("write 0x20 = 0x900000000001") && !text.contains("csm-tf.shared"), "{text}");
    let json = scratch.json(&["plan", file, "--node", "0"]);
    assert_eq!(json["regions"][0]["ea"], "0x900000000000");
    let steps = json["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0]["node_name"], "lender");
    assert_eq!(steps[0]["attach"].as_array().map(Vec::len), Some(5));
    assert!(steps[0]["attach_command"].as_str().expect("a command").ends_with("--region shared --node 0"));
}

#[test]
fn sections_and_bonded_ports_show_in_the_registers() {
    let scratch = Scratch::new("plan-sections");
    let text = std::fs::read_to_string(example()).expect("the example");
    let text = text.replace("port = 0", "port = \"both\"").replace("section = 0", "section = 2");
    let file = scratch.0.join("c.toml");
    std::fs::write(&file, text).expect("a file");
    let plan = scratch.ok(&["plan", file.to_str().expect("UTF-8")]);
    // EA less two sections of 1 TiB, and both ports' bits.
    assert!(
        plan.contains("write 0x30 = 0x8e0000000003: section 2 leads to 0x900000000000 through port both"),
        "{plan}"
    );
    assert!(plan.contains("at offset 0x20100000000 until"), "{plan}");
    assert!(plan.contains("write 0x78 = 0x3"), "{plan}");
}
