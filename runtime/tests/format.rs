//! FORMAT.md against the code: the version that the page gives, and the example of section 10, run as it stands on the page.

use staticnet::artifact::FORMAT_VERSION;
use staticnet::{ALL_OPS, Artifact, Engine, Mapped};
use staticnet_testing::AlignedBytes;

#[test]
fn the_page_gives_the_version_that_the_code_reads() {
    let page = include_str!("../FORMAT.md");
    assert_eq!(page.lines().next(), Some(&*format!("# The .snet file, format version {FORMAT_VERSION}")));
    let header = page.split("## 2. Header").nth(1).and_then(|rest| rest.split("## 3.").next()).expect("the page has section 2");
    let row = header.lines().find(|line| line.contains("| format version |")).expect("section 2 has the version's row");
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!(cells[1..6], ["4", "u16", "format version", &*FORMAT_VERSION.to_string(), "`Version`"]);
    assert!(page.contains(&format!("SNET, version {FORMAT_VERSION},")), "section 10 names another version");
}

/// The bytes of the page's hex dump: offset, then 16 bytes a line.
fn example() -> Vec<u8> {
    let page = include_str!("../FORMAT.md");
    let section = page.split("## 10. An example").nth(1).expect("the page has its example");
    let mut bytes = vec![];
    for line in section.lines().filter_map(|line| line.strip_prefix("    ")) {
        let mut words = line.split_whitespace();
        let offset = words.next().and_then(|word| usize::from_str_radix(word, 16).ok());
        assert_eq!(offset, Some(bytes.len()), "{line}");
        bytes.extend(words.take(16).map(|word| u8::from_str_radix(word, 16).expect("two hexadecimal digits")));
    }
    bytes
}

#[test]
fn the_example_of_the_page_gives_the_outputs_it_says() {
    let bytes = AlignedBytes::copy_of(&example());
    let artifact = Artifact::new(bytes.as_ref()).expect("the page is right");
    artifact.verify_weights(artifact.payload()).expect("the page is right");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("it fits");
    engine.set_input_f32(0, &[1.0, 2.0, 0.0, 0.5]).expect("four values");
    assert_eq!(engine.input_bytes_mut(0).map(|b| b.to_vec()), Some([-126i8, -124, -128, -127].map(|q| q as u8).to_vec()));
    engine.run().expect("it runs");
    assert_eq!(engine.output_bytes(0), Some(&[0, 64][..]));
    let info = engine.output_info(0).expect("it is there");
    assert_eq!((info.rank, info.dims), (2, [1, 2, 0, 0]));
}
