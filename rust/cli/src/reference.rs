//! docs/commands.md, made of the table of commands.

use std::path::Path;

use crate::table;

/// What the page must be.
fn page() -> String {
    let name = "splinterctl";
    let width = |table: clap::Command| table.term_width(100);
    let main = width(table::program(name)).render_long_help().to_string();
    let mut page = format!(
        "# Commands\n\n\
         This page is made of the table of commands: `cargo test` rewrites it when the table has changed.\n\n\
         ```text\n{}\n```\n",
        main.trim_end()
    );
    for command in table::program(name).get_subcommands() {
        let command = command.get_name();
        let help = table::help(width(table::program(name)), &format!("{name} "), command).expect("a command");
        // What every command takes is told once, above.
        let help = help.to_string();
        let help = help.split(table::FOR_ALL).next().unwrap_or_default().trim_end();
        page += &format!("\n## {command}\n\n```text\n{help}\n```\n");
    }
    let lines: Vec<_> = page.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_page_of_commands_is_made_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let page = page();
    if std::fs::read_to_string(&path).unwrap_or_default() != page {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        panic!(
            "{} was not what the table makes of it: regenerated, commit it",
            path.display()
        );
    }
}
