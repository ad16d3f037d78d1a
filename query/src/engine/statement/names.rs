//! Names of columns and tables in a statement.

use datafusion::sql::sqlparser::ast::Ident;

/// Returns a name as DataFusion compares it: in lower case, unless it is quoted.
pub(super) fn normalized(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
