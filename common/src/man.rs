//! The man page of a program, generated from the definition of its command line and from additional sections.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Arg, Command};
use clap_mangen::Man;

/// An additional section: its heading, and its paragraphs, each with a tag and a text. Paragraphs with an empty tag are not
/// indented.
pub type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// Writes the man page of a program in roff. `commands` is the heading above its subcommands. The last of `sections` is the
/// end of the page, and the others precede the examples.
///
/// # Errors
/// `out` cannot be written.
pub fn write(
    command: Command,
    commands: &str,
    sections: &[Section],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut command = command;
    command.build();
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    heading(commands, out)?;
    for sub in visible(&command) {
        let about = sub.get_long_about().or(sub.get_about());
        tagged(sub.get_name(), &text(about), out)?;
    }
    heading(&format!("OPTIONS OF {commands}"), out)?;
    for ((flags, help), subcommands) in options(&command) {
        let text = format!("{help} ({})", subcommands.join(", "));
        tagged(&flags, &text, out)?;
    }
    let (sections, last) = sections.split_at(sections.len().saturating_sub(1));
    write_sections(sections, out)?;
    if let Some(examples) = command.get_after_long_help().or(command.get_after_help()) {
        heading("EXAMPLES", out)?;
        let examples = examples.to_string();
        let examples = examples.strip_prefix("Examples:\n").unwrap_or(&examples);
        writeln!(out, ".nf\n{}\n.fi", escape(examples))?;
    }
    page.render_version_section(out)?;
    write_sections(last, out)
}

fn write_sections(sections: &[Section], out: &mut dyn Write) -> io::Result<()> {
    for (name, paragraphs) in sections {
        heading(name, out)?;
        for (tag, text) in *paragraphs {
            tagged(tag, text, out)?;
        }
    }
    Ok(())
}

/// Returns the subcommands that `--help` lists.
fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    let commands = command.get_subcommands();
    commands.filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// Returns the options and arguments that only subcommands accept: flags and help text, with the names of the
/// subcommands that share both.
fn options(command: &Command) -> BTreeMap<(String, String), Vec<String>> {
    let mut options: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let is_global = |arg: &Arg| {
        let mut globals = command.get_arguments();
        globals.any(|global| global.get_long().is_some() && global.get_long() == arg.get_long())
    };
    for sub in visible(command) {
        let shown = |arg: &&Arg| !arg.is_hide_set() && !is_global(arg) && arg.get_id() != "help";
        for arg in sub.get_arguments().filter(shown) {
            let help = text(arg.get_long_help().or(arg.get_help()));
            let subcommands = options.entry((flags(arg), help)).or_default();
            subcommands.push(sub.get_name().to_string());
        }
    }
    options
}

/// Returns the spelling of an option on the command line: `-c, --container <NAME>`.
fn flags(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<_> = short.into_iter().chain(long).collect();
    let takes_values = arg.get_action().takes_values();
    let values = arg.get_value_names().unwrap_or_default().iter();
    let values: Vec<_> = values
        .filter(|_| takes_values)
        .map(|name| format!("<{name}>"))
        .collect();
    let parts = [flags.join(", "), values.join(" ")];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn heading(name: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, ".SH \"{}\"", name.to_uppercase())
}

fn tagged(tag: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    match tag {
        "" => writeln!(out, ".PP\n{}", escape(text)),
        tag => writeln!(out, ".TP\n\\fB{}\\fR\n{}", escape(tag), escape(text)),
    }
}

/// Escapes text so that roff prints it unchanged.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text
        .lines()
        .map(|line| match line.starts_with(['.', '\'']) {
            true => format!("\\&{line}"),
            false => line.to_string(),
        });
    lines.collect::<Vec<_>>().join("\n")
}
