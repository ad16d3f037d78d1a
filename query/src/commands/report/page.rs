//! The page: its sections, and the places of the template that they fill.

use std::fmt::Write;

use ctrace_schema::human;

use crate::commands::report::assets;
use crate::commands::report::command_line::{command, quoted};
use crate::commands::report::data::PageData;
use crate::commands::report::facts::Fact;
use crate::commands::report::markup::{escape, filled};
use crate::commands::report::sections::{self, ReportSection};
use crate::commands::report::table::{SectionTable, html_table};

/// The parts of the page.
pub(super) struct PageParts<'a> {
    pub(super) title: &'a str,
    pub(super) data: &'a PageData<'a>,
    /// The data as the content of an element.
    pub(super) json: &'a str,
    /// The most rows that a table has.
    pub(super) limit: u64,
    pub(super) top_facts: &'a [Fact],
    pub(super) recording_facts: &'a [Fact],
    pub(super) numbers: &'a [Fact],
    /// Sentences about events that the page lacks.
    pub(super) warnings: &'a [String],
    /// Markup of the most notable numbers.
    pub(super) cards: &'a str,
}

/// A section of the page.
struct PageSection {
    id: String,
    title: &'static str,
    /// The number of rows, in the list of sections.
    rows: String,
    /// Markup.
    content: String,
}

/// Returns the page as HTML.
///
/// # Errors
/// The template of the page is wrong.
pub(super) fn html_page(parts: &PageParts<'_>) -> anyhow::Result<String> {
    let sections = sections(parts);
    let window = parts.data.queries.clock().window();
    let warnings = parts.warnings.iter();
    let warnings = warnings.map(|text| format!("<p class=\"lost\">{}</p>\n", escape(text)));
    let links = sections.iter().map(|section| {
        let PageSection {
            id, title, rows, ..
        } = section;
        format!("<li><a href=\"#{id}\">{title} <small>{rows}</small></a></li>\n")
    });
    let content = sections.iter().map(|section| {
        let PageSection {
            id, title, content, ..
        } = section;
        format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{content}</section>\n")
    });
    filled(
        assets::TEMPLATE,
        &[
            ("policy", assets::security_policy()?),
            ("title", escape(parts.title)),
            ("window", escape(&window)),
            ("styles", assets::style_elements()),
            ("facts", facts(parts.top_facts)),
            ("numbers", facts(parts.numbers)),
            ("warnings", warnings.collect()),
            ("links", links.collect()),
            ("sections", content.collect()),
            ("version", env!("CARGO_PKG_VERSION").to_string()),
            ("licences", assets::licences()),
            ("data", parts.json.to_string()),
            ("scripts", assets::script_elements()),
        ],
    )
}

/// Returns the sections in their order.
fn sections(parts: &PageParts<'_>) -> Vec<PageSection> {
    let fixed = |id: &str, title, content: &str| PageSection {
        id: id.to_string(),
        title,
        rows: String::new(),
        content: content.to_string(),
    };
    let data = parts.data;
    let are_rules = |table: &&SectionTable| table.section.question == "rules";
    let rules = data.tables.iter().take_while(are_rules);
    let tables = &data.tables[rules.clone().count()..];
    let mut sections: Vec<_> = rules.map(|table| table_section(parts, table)).collect();
    sections.extend([
        fixed("summary", "What stands out", parts.cards),
        fixed("timeline", "Timeline", &timeline(data)),
    ]);
    if !data.graph.is_empty() {
        let graph = include_str!("assets/graph.html");
        sections.push(fixed("graph", "Who talked to whom", graph));
    }
    let (first, rest) = tables.split_at(tables.len().min(2));
    sections.extend(first.iter().map(|table| table_section(parts, table)));
    if !data.stories.is_empty() {
        sections.push(PageSection {
            rows: data.stories.len().to_string(),
            ..fixed("why", "Container by container", &stories(data))
        });
    }
    sections.extend(rest.iter().map(|table| table_section(parts, table)));
    sections.push(fixed(
        "recording",
        "How it was recorded",
        &format!(
            "<dl class=\"facts\">\n{}</dl>\n",
            facts(parts.recording_facts)
        ),
    ));
    sections
}

fn timeline(data: &PageData<'_>) -> String {
    match data.queries.window.is_known() {
        true => include_str!("assets/timeline.html").to_string(),
        false => "<p>None.</p>\n".to_string(),
    }
}

fn table_section(parts: &PageParts<'_>, table: &SectionTable) -> PageSection {
    let ReportSection { note, question, .. } = table.section;
    let mut content = String::new();
    // The notes do not apply to recordings of counts, whose tables have fewer columns.
    if !parts.data.queries.contents.only_counts {
        content += &format!("<p class=\"note\">{note}</p>\n");
    }
    content += &table.html(parts.data.queries.clock());
    if table.rows.count > 0 {
        let first = match table.is_cut {
            true => format!(
                "These are the first {}. All of them: ",
                human::count(parts.limit)
            ),
            false => "The same rows: ".to_string(),
        };
        let command = command(question, parts.data.queries.scope);
        content += &format!(
            "<p class=\"note same\">{first}<code data-question=\"{question}\">{}</code></p>\n",
            escape(&command)
        );
    }
    PageSection {
        id: question.to_string(),
        title: table.section.title,
        rows: match table.is_cut {
            true => format!("{}+", parts.limit),
            false => table.rows.count.to_string(),
        },
        content,
    }
}

/// Formats the last minute of each container.
fn stories(data: &PageData<'_>) -> String {
    let clock = data.queries.clock();
    let mut out = String::from(
        "<p class=\"note\">The last minute of each container: what it was, how it ended, and what it tried. Those that ended badly come first.</p>\n",
    );
    for (number, story) in data.stories.iter().enumerate() {
        let rows = &story.rows;
        let what = |section: &str| {
            let row = (0..rows.count).find(|row| rows.text("section", *row) == Some(section));
            let text = row.and_then(|row| rows.text("what", row));
            escape(text.unwrap_or_default())
        };
        let id = &story.of.container_id;
        let short = id.get(..12).unwrap_or(id);
        let place = data.containers().and_then(|table| {
            let row = (0..table.rows.count)
                .find(|row| table.rows.text("id", *row).is_some_and(|id| id == short))?;
            let name = table.rows.container("host", "container", row)?;
            data.names.iter().position(|other| *other == name)
        });
        let place = place.map_or(String::new(), |place| {
            format!(" data-container=\"{place}\"")
        });
        let open = if number == 0 { " open" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<details class=\"story\"{place}{open}>\n<summary><b>{}</b> <span>{}</span></summary>\n{}\
             <p class=\"note\">The same rows: <code>{}</code></p>\n</details>\n",
            what("container"),
            what("end"),
            html_table(rows, sections::WHY, clock, usize::MAX),
            escape(&format!("ctrace-query why --container {}", quoted(short))),
        );
    }
    out
}

fn facts(facts: &[Fact]) -> String {
    let mut out = String::new();
    for (name, value) in facts {
        let value = escape(value);
        out += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    }
    out
}
