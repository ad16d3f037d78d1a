//! Several tables with the same columns as one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;

/// The union of at least one table, each with the columns of the first.
#[derive(Debug)]
pub(crate) struct UnionTable(Vec<Arc<dyn TableProvider>>);

impl UnionTable {
    /// Returns the union of `tables`; a single table is returned itself.
    pub(crate) fn combine(mut tables: Vec<Arc<dyn TableProvider>>) -> Arc<dyn TableProvider> {
        match tables.len() {
            1 => tables.remove(0),
            _ => Arc::new(UnionTable(tables)),
        }
    }

    pub(crate) fn tables(&self) -> &[Arc<dyn TableProvider>] {
        &self.0
    }
}

#[async_trait::async_trait]
impl TableProvider for UnionTable {
    fn schema(&self) -> SchemaRef {
        self.0[0].schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Asks all tables about each filter: a filter is exact if all of them apply it exactly. Each table gets the
    /// filters that it supports at all.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let mut exact = vec![TableProviderFilterPushDown::Exact; filters.len()];
        for table in &self.0 {
            for (all, one) in exact
                .iter_mut()
                .zip(table.supports_filters_pushdown(filters)?)
            {
                if one != TableProviderFilterPushDown::Exact {
                    *all = TableProviderFilterPushDown::Inexact;
                }
            }
        }
        Ok(exact)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plans = Vec::new();
        for table in &self.0 {
            let all: Vec<&Expr> = filters.iter().collect();
            let support = table.supports_filters_pushdown(&all)?;
            let supported: Vec<Expr> = filters
                .iter()
                .zip(support)
                .filter(|(_, support)| *support != TableProviderFilterPushDown::Unsupported)
                .map(|(filter, _)| filter.clone())
                .collect();
            plans.push(table.scan(session, projection, &supported, limit).await?);
        }
        UnionExec::try_new(plans)
    }
}
