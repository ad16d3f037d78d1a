//! Columns that `*` stands for, with `exclude`, `except` and `replace`.

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, SelectItem, WildcardAdditionalOptions,
};

use crate::engine::statement::names::normalized;

/// Returns the columns that remain of those that a `*` stands for. `item` makes one from its value and its name.
///
/// # Errors
/// There is no such column to leave out or to replace, or the option is another one.
pub(super) fn with_options(
    columns: Vec<(String, Expr)>,
    options: WildcardAdditionalOptions,
    item: impl Fn(Expr, &str) -> SelectItem,
) -> Result<Vec<SelectItem>> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    if opt_ilike.is_some() || opt_rename.is_some() || opt_alias.is_some() {
        return plan_err!(
            "`*` takes `exclude (...)` and `replace (...)` only: name the columns instead"
        );
    }
    let excluded = match opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => Vec::new(),
    };
    let last = |name: &ObjectName| name.0.last().and_then(|part| part.as_ident()).cloned();
    let mut excluded: Vec<Ident> = excluded.iter().filter_map(last).collect();
    if let Some(except) = opt_except {
        excluded.push(except.first_element);
        excluded.extend(except.additional_elements);
    }
    let mut columns: Vec<(String, Expr, bool)> = columns
        .into_iter()
        .map(|(name, value)| (name, value, false))
        .collect();
    for name in excluded {
        let before = columns.len();
        columns.retain(|(column, ..)| *column != normalized(&name));
        if columns.len() == before {
            return plan_err!("there is no column `{}` to exclude", name.value);
        }
    }
    for element in opt_replace.into_iter().flat_map(|replace| replace.items) {
        let name = normalized(&element.column_name);
        let replaced = columns.iter_mut().filter(|(column, ..)| *column == name);
        let mut count = 0;
        for column in replaced {
            (column.1, column.2) = (element.expr.clone(), true);
            count += 1;
        }
        if count == 0 {
            return plan_err!("there is no column `{name}` to replace");
        }
    }
    let items = columns
        .into_iter()
        .map(|(name, value, is_replaced)| match is_replaced {
            true => SelectItem::ExprWithAlias {
                expr: value,
                alias: Ident::with_quote('"', name),
            },
            false => item(value, &name),
        });
    Ok(items.collect())
}
