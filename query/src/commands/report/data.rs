//! The data of the page, as its script reads them.

use ctrace_schema::text::printable;
use serde_json::{Value, json};

use crate::commands::report::command_line;
use crate::commands::report::counts::Counts;
use crate::commands::report::graph::Graph;
use crate::commands::report::markup::json_text;
use crate::commands::report::queries::{ReportQueries, Story};
use crate::commands::report::rows::AnswerRows;
use crate::commands::report::table::SectionTable;
use crate::commands::report::timeline::Timeline;
use crate::questions::TimeBuckets;

/// The size of the page's data above which their buckets are joined.
const MAX_DATA_BYTES: usize = 1_500_000;
/// The number of buckets that are always kept.
const MIN_BUCKETS: usize = 30;

/// Returns the names of the containers, in the order of their table.
pub(super) fn container_names(tables: &[SectionTable], timeline: &Timeline) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for table in tables {
        let rows: &AnswerRows = &table.rows;
        for row in 0..rows.count {
            for (host, name) in table.section.containers {
                rows.container(host, name, row)
                    .into_iter()
                    .for_each(&mut add);
            }
        }
    }
    timeline.names().into_iter().for_each(add);
    names
}

/// The data of the page.
pub(super) struct PageData<'a> {
    pub(super) queries: &'a ReportQueries<'a>,
    pub(super) buckets: TimeBuckets,
    pub(super) names: Vec<String>,
    pub(super) timeline: Timeline,
    pub(super) graph: Graph,
    pub(super) tables: Vec<SectionTable>,
    pub(super) stories: Vec<Story>,
}

impl PageData<'_> {
    /// Returns the table of containers.
    pub(super) fn containers(&self) -> Option<&SectionTable> {
        let mut tables = self.tables.iter();
        tables.find(|table| table.section.question == "containers")
    }

    /// Returns the data as the content of an element. Data of many bytes get fewer and wider buckets.
    pub(super) fn text(&mut self) -> String {
        loop {
            let text = json_text(&self.json());
            if text.len() <= MAX_DATA_BYTES || self.buckets.count <= MIN_BUCKETS {
                return text;
            }
            self.buckets = self.buckets.halved();
            self.timeline.halve();
            let counts = self.tables.iter_mut().flat_map(|table| &mut table.counts);
            counts.flatten().for_each(Counts::halve);
        }
    }

    fn json(&self) -> Value {
        let clock = self.queries.clock();
        let tables = self.tables.iter();
        let tables = tables.map(|table| table.json(clock, self.buckets, &self.names));
        let names = self.names.iter();
        let names = names.map(|name| printable(name));
        json!({
            // As text: the page's script has whole numbers of 53 bits.
            "startNs": self.buckets.start_ns.to_string(),
            "widthNs": self.buckets.width_ns.to_string(),
            "buckets": self.buckets.count,
            "containers": names.collect::<Vec<_>>(),
            "onlyCounts": self.queries.contents.only_counts,
            "severalHosts": self.queries.contents.several_hosts,
            "scope": command_line::scope_flags(self.queries.scope),
            "timeline": self.timeline.json(&self.names),
            "graph": self.graph.json(self.buckets, &self.names),
            "tables": tables.collect::<Vec<_>>(),
        })
    }
}
