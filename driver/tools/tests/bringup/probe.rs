//! `probe` on machines that are made up.

use serde_json::{Value, json};

use crate::tree::Tree;

fn section(tree: &Tree, name: &str) -> Value {
    tree.scratch.json(&["probe", "--root", tree.root()])["sections"][name].clone()
}

/// What is missing, and how to get it, as one text.
fn missing(section: &Value) -> String {
    let missing = section["missing"].as_array().expect("an array");
    missing.iter().map(|one| format!("{}: {}\n", one["what"], one["how"])).collect()
}

#[test]
fn an_empty_machine_lacks_everything_and_that_is_no_error() {
    let tree = Tree::new("probe-empty");
    let json = tree.scratch.json(&["probe", "--root", tree.root()]);
    let sections = json["sections"].as_object().expect("sections");
    assert_eq!(
        sections.keys().collect::<Vec<_>>(),
        ["machine", "caches", "ocxl", "borrowed", "dax", "vfio", "cxl", "pages", "limits"]
    );
    for name in ["ocxl", "borrowed", "dax", "vfio", "cxl"] {
        assert_eq!(sections[name]["present"], false, "{name}");
        assert!(!missing(&sections[name]).is_empty(), "{name}");
    }
    let text = tree.scratch.ok(&["probe", "--root", tree.root()]);
    assert!(text.contains("modprobe ocxl") && text.contains("ndctl"), "{text}");
    let root = ["--root", tree.root()];
    tree.scratch.fails(
        3,
        &[&["probe", "--require", "dax"][..], &root].concat(),
        "dax is required: a device; with CXL",
    );
    tree.scratch.fails(
        2,
        &[&["probe", "--require", "dux"][..], &root].concat(),
        "no such section; there are machine",
    );
    tree.scratch.ok(&[&["probe", "--require", "machine"][..], &root].concat());
}

#[test]
fn this_machine_is_probed_without_an_error() {
    let scratch = crate::Scratch::new("probe-here");
    let json = scratch.json(&["probe"]);
    assert_eq!(json["sections"]["machine"]["found"]["architecture"], std::env::consts::ARCH);
    assert!(json["sections"]["caches"]["found"]["line_bytes"].as_u64().is_some_and(|line| line >= 16));
    assert!(json["sections"]["pages"]["found"]["shm_free_bytes"].is_u64());
}

#[test]
fn afus_and_the_devices_of_borrowed_memory() {
    let tree = Tree::new("probe-afu");
    let afu = "sys/class/ocxl/IBM,RMEM.0006:00:00.1.0";
    tree.file(&format!("{afu}/afu_version"), "1:0\n")
        .file(&format!("{afu}/contexts"), "1/512\n")
        .file(&format!("{afu}/global_mmio_size"), "524288\n")
        .file(&format!("{afu}/pp_mmio_size"), "65536\n")
        .file("dev/ocxl/IBM,RMEM.0006:00:00.1.0", "")
        .file("dev/mishmem-s1", "")
        .file("sys/devices/system/memory/probe", "");
    let found = section(&tree, "ocxl");
    assert_eq!(found["present"], true, "{found:#}");
    let afu = &found["found"]["afus"][0];
    assert_eq!((&afu["name"], &afu["function"]), (&json!("IBM,RMEM"), &json!("0006:00:00.1")));
    assert_eq!((&afu["contexts_used"], &afu["contexts_max"]), (&json!(1), &json!(512)));
    assert_eq!(afu["global_mmio_bytes"], 524_288);
    let borrowed = section(&tree, "borrowed");
    assert_eq!(borrowed["found"]["devices"][0]["path"], "/dev/mishmem-s1");
    assert_eq!((&borrowed["present"], &borrowed["found"]["hotplug"]), (&json!(true), &json!(true)));
}

#[test]
fn dax_devices_and_who_has_them() {
    let tree = Tree::new("probe-dax");
    for (name, driver) in [("dax0.0", "device_dax"), ("dax1.0", "kmem")] {
        let at = format!("sys/bus/dax/devices/{name}");
        tree.file(&format!("{at}/size"), "1073741824\n")
            .file(&format!("{at}/align"), "2097152\n")
            .file(&format!("{at}/target_node"), "1\n")
            .link(&format!("{at}/driver"), &format!("../../drivers/{driver}"));
    }
    let found = section(&tree, "dax");
    assert_eq!(found["present"], false, "dax0.0 has no device file, dax1.0 is the kernel's: {found:#}");
    assert!(missing(&found).contains("permission"), "{found:#}");
    tree.file("dev/dax0.0", "");
    let found = section(&tree, "dax");
    assert_eq!(found["present"], true);
    let device = &found["found"]["devices"][0];
    assert_eq!((&device["uri"], &device["usable"]), (&json!("dax:/dev/dax0.0"), &json!(true)));
    assert_eq!((&device["size_bytes"], &device["align_bytes"]), (&json!(1 << 30), &json!(2 << 20)));
    assert_eq!(found["found"]["devices"][1]["usable"], false);
    let text = tree.scratch.ok(&["probe", "--root", tree.root()]);
    assert!(
        text.contains("dax:/dev/dax1.0  1.0 GiB, aligned to 2.0 MiB, NUMA node 1, used by the kernel"),
        "{text}"
    );
}

#[test]
fn memory_that_the_kernel_took_says_how_to_take_it_back() {
    let tree = Tree::new("probe-kmem");
    tree.file("sys/bus/dax/devices/dax0.0/size", "1073741824")
        .link("sys/bus/dax/devices/dax0.0/driver", "../kmem");
    assert!(missing(&section(&tree, "dax")).contains("daxctl reconfigure-device --mode=devdax"));
}

/// An ivshmem device with a BAR of 64 MiB, and a network card.
fn pci(tree: &Tree, driver: Option<&str>, group: bool) {
    let at = "sys/bus/pci/devices/0000:00:04.0";
    tree.file(&format!("{at}/class"), "0x050000\n")
        .file(&format!("{at}/vendor"), "0x1af4\n")
        .file(&format!("{at}/device"), "0x1110\n")
        .file(
            &format!("{at}/resource"),
            "0x00000000febf1000 0x00000000febf10ff 0x0000000000040200\n\
             0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
             0x00000000f8000000 0x00000000fbffffff 0x000000000014220c\n",
        );
    if let Some(driver) = driver {
        tree.link(&format!("{at}/driver"), &format!("../../../drivers/{driver}"));
    }
    if group {
        tree.link(&format!("{at}/iommu_group"), "../../../kernel/iommu_groups/7");
    }
    let at = "sys/bus/pci/devices/0000:00:02.0";
    tree.file(&format!("{at}/class"), "0x020000\n").link(&format!("{at}/driver"), "../e1000");
}

#[test]
fn pci_memory_and_which_driver_holds_it() {
    let tree = Tree::new("probe-vfio");
    pci(&tree, Some("ivshmem"), true);
    tree.file("dev/vfio/vfio", "");
    let found = section(&tree, "vfio");
    let devices = found["found"]["devices"].as_array().expect("devices");
    assert_eq!(devices.len(), 1, "the network card is not shown: {found:#}");
    assert_eq!((&devices[0]["driver"], &devices[0]["group"]), (&json!("ivshmem"), &json!("7")));
    // The BAR of registers is too small to be shown.
    assert_eq!(devices[0]["bars"], json!([{ "bar": 2, "size_bytes": 64 << 20, "prefetchable": true }]));
    assert!(
        missing(&found)
            .contains("0000:00:04.0/driver/unbind; echo 0000:00:04.0 > /sys/bus/pci/drivers_probe")
    );
    let text = tree.scratch.ok(&["probe", "--all", "--root", tree.root()]);
    assert!(text.contains("vfio:0000:00:02.0") && text.contains("held by e1000"), "{text}");
    assert!(text.contains("vfio:0000:00:04.0  1af4:1110, group 7, held by ivshmem; BAR2 64.0 MiB"), "{text}");
}

#[test]
fn a_device_bound_to_vfio() {
    let tree = Tree::new("probe-vfio-bound");
    pci(&tree, Some("vfio-pci"), true);
    tree.file("dev/vfio/vfio", "").file("dev/vfio/7", "");
    let found = section(&tree, "vfio");
    assert_eq!(
        (&found["present"], &found["found"]["devices"][0]["usable"]),
        (&json!(true), &json!(true)),
        "{found:#}"
    );
}

#[test]
fn no_iommu() {
    let tree = Tree::new("probe-no-iommu");
    pci(&tree, None, false);
    let found = missing(&section(&tree, "vfio"));
    assert!(found.contains("modprobe vfio-pci") && found.contains("intel_iommu=on"), "{found}");
}

#[test]
fn cxl_pages_and_limits() {
    let tree = Tree::new("probe-rest");
    tree.file("sys/bus/cxl/devices/mem0/ram/size", "0x40000000\n")
        .file("sys/bus/cxl/devices/mem0/pmem/size", "0x0\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "16\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "12\n")
        .file("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size [advise] never deny force\n")
        .file("proc/sys/vm/max_map_count", "1000\n")
        .file("proc/cpuinfo", "model name\t: Some CPU\nflags\t: fpu la57 sse\naddress sizes\t: 52 bits physical, 57 bits virtual\n")
        .file(
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max locked memory         unlimited            unlimited            bytes     \n\
             Max address space         1073741824           unlimited            bytes     \n",
        );
    let cxl = section(&tree, "cxl");
    assert_eq!(cxl["found"]["devices"][0]["volatile_bytes"], 1 << 30);
    assert!(missing(&cxl).contains("cxl create-region"), "{cxl:#}");
    tree.file("sys/bus/cxl/devices/region0/size", "0x40000000\n")
        .file("sys/bus/cxl/devices/region0/commit", "1\n");
    let cxl = section(&tree, "cxl");
    assert_eq!((&cxl["present"], &cxl["found"]["regions"][0]["committed"]), (&json!(true), &json!(true)));
    let pages = section(&tree, "pages");
    assert_eq!(pages["found"]["pools"], json!([{ "page_bytes": 2 << 20, "total": 16, "free": 12 }]));
    assert_eq!(pages["found"]["transparent_shmem"], "advise");
    let limits = section(&tree, "limits");
    assert_eq!(limits["found"]["locked_unlimited"], true);
    assert_eq!(limits["found"]["address_space_bytes"], 1 << 30);
    assert!(missing(&limits).contains("vm.max_map_count") && missing(&limits).contains("ulimit -v"));
    let machine = section(&tree, "machine");
    assert_eq!(
        (&machine["found"]["user_address_bits"], &machine["found"]["five_level_paging"]),
        (&json!(56), &json!(true))
    );
    let text = tree.scratch.ok(&["probe", "--root", tree.root()]);
    assert!(!text.contains("cannot be mapped"), "56 bits hold the reference's address");
}
