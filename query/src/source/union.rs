//! Several tables with the same columns as one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;

/// At least one table, each with the columns of the first.
#[derive(Debug)]
pub struct Union(Vec<Arc<dyn TableProvider>>);

impl Union {
    /// `tables` as one; a single one is that one.
    pub fn of(mut tables: Vec<Arc<dyn TableProvider>>) -> Arc<dyn TableProvider> {
        match tables.len() {
            1 => tables.remove(0),
            _ => Arc::new(Union(tables)),
        }
    }

    /// The tables.
    pub fn tables(&self) -> &[Arc<dyn TableProvider>] {
        &self.0
    }
}

#[async_trait::async_trait]
impl TableProvider for Union {
    fn schema(&self) -> SchemaRef {
        self.0[0].schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// A filter is as exact as the table that is least so; where one takes it at all, it is passed on to that one.
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
            let given: Vec<&Expr> = filters.iter().collect();
            let takes = table.supports_filters_pushdown(&given)?;
            let takes = filters.iter().zip(takes);
            let taken: Vec<Expr> = takes
                .filter(|(_, takes)| *takes != TableProviderFilterPushDown::Unsupported)
                .map(|(filter, _)| filter.clone())
                .collect();
            plans.push(table.scan(session, projection, &taken, limit).await?);
        }
        UnionExec::try_new(plans)
    }
}
