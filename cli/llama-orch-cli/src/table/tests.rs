use super::*;

fn table() -> Table<3> {
    let mut table = Table::new(["ID", "STATE", "WHY"]);
    table.row(["a".into(), Cell::from("ready").tinted(Tint::Good), "".into()]);
    table.row(["longer".into(), Cell::from("gone").tinted(Tint::Bad), "it broke".into()]);
    table
}

#[test]
fn columns_line_up_and_no_line_ends_in_spaces() {
    assert_eq!(
        table().render(Palette::Plain, "  "),
        "  ID      STATE  WHY\n  a       ready\n  longer  gone   it broke\n"
    );
}

#[test]
fn colours_take_no_width() {
    let coloured = table().render(Palette::Colour, "");
    let plain: String = table().render(Palette::Plain, "");
    let stripped = ["\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"]
        .iter()
        .fold(coloured.clone(), |text, code| text.replace(code, ""));
    assert_eq!(stripped, plain);
    assert_ne!(coloured, plain);
}
