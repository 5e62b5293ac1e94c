// SPDX-License-Identifier: Apache-2.0
// TPC-H Q1 and Q6 by Arrow's Acero on lineitem that another process published, beside the same plan on a copy of the
// same chunks in Arrow's default pool.
//
//   query LINEITEM.csv [--quick]
//
// or, as its own children, each a fresh process:
//
//   query --load URI LINEITEM.csv BYTES
//   query --cold published|copied WHO URI Q1|Q6      one query on one table: the cold samples
//   query --warm RUNS URI...                         all queries on all tables, in turns; the first URI is `libcsm`
#include "csv.hpp"
#include "series.hpp"

#include <csm/arrow.hpp>

#include <arrow/acero/api.h>
#include <arrow/api.h>
#include <arrow/compute/api.h>
#include <arrow/compute/initialize.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace ac = arrow::acero;
namespace cp = arrow::compute;
using TablePtr = std::shared_ptr<arrow::Table>;

cp::Expression Column(const char* name) { return cp::field_ref(name); }
// Days since 1970.
cp::Expression Day(int32_t day) { return cp::literal(std::make_shared<arrow::Date32Scalar>(day)); }
cp::Expression Times(cp::Expression a, cp::Expression b) { return cp::call("multiply", {std::move(a), std::move(b)}); }

// Pricing summary: all but the last 90 days, eight aggregates by two flags.
ac::Declaration Q1(const TablePtr& lineitem) {
  auto discounted = Times(Column("l_extendedprice"), cp::call("subtract", {cp::literal(1.0), Column("l_discount")}));
  auto charge = Times(discounted, cp::call("add", {cp::literal(1.0), Column("l_tax")}));
  return ac::Declaration::Sequence({
      {"table_source", ac::TableSourceNodeOptions(lineitem)},
      {"filter", ac::FilterNodeOptions(cp::less_equal(Column("l_shipdate"), Day(10471)))},
      {"project", ac::ProjectNodeOptions({Column("l_returnflag"), Column("l_linestatus"), Column("l_quantity"),
                                          Column("l_extendedprice"), discounted, charge, Column("l_discount")},
                                         {"flag", "status", "quantity", "price", "discounted", "charge", "discount"})},
      {"aggregate", ac::AggregateNodeOptions({{"hash_sum", nullptr, "quantity", "sum_quantity"},
                                              {"hash_sum", nullptr, "price", "sum_price"},
                                              {"hash_sum", nullptr, "discounted", "sum_discounted"},
                                              {"hash_sum", nullptr, "charge", "sum_charge"},
                                              {"hash_mean", nullptr, "quantity", "mean_quantity"},
                                              {"hash_mean", nullptr, "price", "mean_price"},
                                              {"hash_mean", nullptr, "discount", "mean_discount"},
                                              {"hash_count_all", "rows"}},
                                             {"flag", "status"})},
      {"order_by", ac::OrderByNodeOptions(arrow::Ordering({cp::SortKey("flag"), cp::SortKey("status")}))},
  });
}

// Revenue forecast: one year, a narrow filter, one sum.
ac::Declaration Q6(const TablePtr& lineitem) {
  auto filter = cp::and_({cp::greater_equal(Column("l_shipdate"), Day(8766)), cp::less(Column("l_shipdate"), Day(9131)),
                          cp::greater_equal(Column("l_discount"), cp::literal(0.05)),
                          cp::less_equal(Column("l_discount"), cp::literal(0.07)),
                          cp::less(Column("l_quantity"), cp::literal(int64_t{24}))});
  return ac::Declaration::Sequence({
      {"table_source", ac::TableSourceNodeOptions(lineitem)},
      {"filter", ac::FilterNodeOptions(filter)},
      {"project", ac::ProjectNodeOptions({Times(Column("l_extendedprice"), Column("l_discount"))}, {"revenue"})},
      {"aggregate", ac::AggregateNodeOptions({{"sum", nullptr, "revenue", "revenue"}})},
  });
}

arrow::Result<TablePtr> CopyToDefaultPool(const TablePtr& table) {
  std::vector<std::shared_ptr<arrow::ChunkedArray>> columns;
  for (const auto& column : table->columns()) {
    arrow::ArrayVector chunks;
    for (const auto& chunk : column->chunks()) {
      ARROW_ASSIGN_OR_RAISE(auto copy, arrow::Concatenate({chunk}));
      chunks.push_back(std::move(copy));
    }
    columns.push_back(std::make_shared<arrow::ChunkedArray>(std::move(chunks), column->type()));
  }
  return arrow::Table::Make(table->schema(), std::move(columns));
}

arrow::Status Load(const std::string& uri, const std::string& path, int64_t bytes) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto table, bench::ReadCsv(path, bytes, region->memory_pool()));
  ARROW_ASSIGN_OR_RAISE(const auto report, region->Publish("lineitem", table));
  return report.bytes_copied == 0 ? arrow::Status::OK() : arrow::Status::Invalid("it was copied");
}

struct Query {
  const char* name;
  ac::Declaration (*plan)(const TablePtr&);
};

constexpr Query kQueries[] = {{"Q1", Q1}, {"Q6", Q6}};

// The same cells; but sums of doubles depend on the order in which threads come by, so those may differ a little.
arrow::Status CheckSame(const arrow::Table& result, const arrow::Table& other) {
  constexpr double kTolerance = 1e-9;  // of the value
  if (result.num_rows() == 0) return arrow::Status::Invalid("no rows");
  if (result.num_rows() != other.num_rows() || !result.schema()->Equals(*other.schema())) {
    return arrow::Status::Invalid("other rows or columns");
  }
  for (int c = 0; c < result.num_columns(); ++c) {
    for (int64_t row = 0; row < result.num_rows(); ++row) {
      ARROW_ASSIGN_OR_RAISE(const auto a, result.column(c)->GetScalar(row));
      ARROW_ASSIGN_OR_RAISE(const auto b, other.column(c)->GetScalar(row));
      bool same = a->Equals(*b);
      if (!same && a->type->id() == arrow::Type::DOUBLE && a->is_valid && b->is_valid) {
        const double x = static_cast<const arrow::DoubleScalar&>(*a).value;
        const double y = static_cast<const arrow::DoubleScalar&>(*b).value;
        same = std::fabs(x - y) <= kTolerance * std::fmax(std::fabs(x), std::fabs(y));
      }
      if (!same) {
        return arrow::Status::Invalid(result.field(c)->name(), " of row ", row, " is ", a->ToString(), " and ",
                                      b->ToString());
      }
    }
  }
  return arrow::Status::OK();
}

struct Source {
  std::string who;
  TablePtr table;
  bool limit;
};

bench::What WhatOf(const Query& query, const Source& source, bool warm) {
  bench::What what;
  what.work = "query";
  what.variant = query.name + (", " + std::to_string(source.table->num_rows()) + " rows");
  what.x = static_cast<double>(source.table->num_rows());
  what.who = source.who;
  what.step = "C++, Acero";
  what.warm = warm;
  what.limit = source.limit;
  what.includes = "building and running the plan on all threads; the tables are open";
  if (!warm) what.includes += "; in a fresh process that did nothing else";
  if (!warm && source.limit) what.includes += " but make the copy, before, so that its pages are there and mapped";
  return what;
}

arrow::Result<TablePtr> Timed(const Query& query, const Source& source, double* seconds) {
  const int64_t start = bench::NowNs();
  ARROW_ASSIGN_OR_RAISE(auto result, ac::DeclarationToTable(query.plan(source.table)));
  *seconds = static_cast<double>(bench::NowNs() - start) / 1e9;
  return result;
}

// The first query of this process, on one table.
arrow::Status Cold(bool copied, const std::string& who, const std::string& uri, const std::string& name) {
  const Query& query = kQueries[name == "Q1" ? 0 : 1];
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto published, region->OpenTable("lineitem"));
  Source source{who, published, copied};
  if (copied) {
    ARROW_ASSIGN_OR_RAISE(source.table, CopyToDefaultPool(published));
  }
  double seconds = 0;
  ARROW_ASSIGN_OR_RAISE(const auto result, Timed(query, source, &seconds));
  // Only now the other memory: what was measured is to be the first that this process does.
  TablePtr other = published;
  if (!copied) {
    ARROW_ASSIGN_OR_RAISE(other, CopyToDefaultPool(published));
  }
  ARROW_ASSIGN_OR_RAISE(const auto expected, ac::DeclarationToTable(query.plan(other)));
  ARROW_RETURN_NOT_OK(CheckSame(*result, *expected));
  bench::Recorder recorder;
  recorder.Add(WhatOf(query, source, false), seconds);
  recorder.Print();
  return arrow::Status::OK();
}

arrow::Status Warm(size_t runs, const std::vector<std::string>& uris) {
  bench::Recorder recorder;
  std::vector<Source> sources;
  for (const auto& uri : uris) {
    ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
    ARROW_ASSIGN_OR_RAISE(auto table, region->OpenTable("lineitem"));
    sources.push_back({sources.empty() ? "libcsm" : "libcsm, huge pages", table, false});
  }
  ARROW_ASSIGN_OR_RAISE(auto copy, CopyToDefaultPool(sources[0].table));
  sources.push_back({"default pool", copy, true});
  std::map<std::string, TablePtr> first;
  for (size_t run = 0; run <= runs; ++run) {
    for (const auto& query : kQueries) {
      for (size_t i = 0; i < sources.size(); ++i) {
        const Source& source = sources[(i + run) % sources.size()];  // nobody is always the one after the same other
        double seconds = 0;
        ARROW_ASSIGN_OR_RAISE(const auto result, Timed(query, source, &seconds));
        ARROW_RETURN_NOT_OK(CheckSame(*result, *first.emplace(query.name, result).first->second));
        // The first run fills caches and the pool.
        if (run > 0) recorder.Add(WhatOf(query, source, true), seconds);
      }
    }
  }
  recorder.Print();
  return arrow::Status::OK();
}

arrow::Status Check(const std::string& command) {
  return std::system(command.c_str()) == 0 ? arrow::Status::OK() : arrow::Status::UnknownError("failed: ", command);
}

arrow::Status Measure(const std::string& program, const std::string& path, bool quick) {
  const std::string self = "'" + program + "' ", size = quick ? "?size=512M" : "?size=3G";
  const std::string base = "shm:bench-query-" + std::to_string(getpid());
  const std::string bytes = quick ? "83886080" : "0";
  std::string uris;
  std::vector<std::string> made;
  arrow::Status status;
  for (const char* pages : {"none", "thp"}) {
    const std::string uri = base + "-" + pages;
    status = csm::Region::Create(uri + size + "&hugepages=" + pages).status();
    if (!status.ok()) break;
    made.push_back(uri);
    uris += " " + uri;
    status = Check(self + "--load " + uri + " '" + path + "' " + bytes);
    if (!status.ok()) break;
  }
  std::vector<std::string> cold;
  for (const char* query : {" Q1", " Q6"}) {
    if (made.size() < 2) break;
    cold.push_back("published 'libcsm' " + made[0] + query);
    cold.push_back("published 'libcsm, huge pages' " + made[1] + query);
    cold.push_back("copied 'default pool' " + made[0] + query);
  }
  for (int i = 0; i < (quick ? 3 : 5); ++i) {
    for (const auto& arguments : cold) {
      if (status.ok()) status = Check(self + "--cold " + arguments);
    }
  }
  for (int i = 0; i < (quick ? 2 : 5) && status.ok(); ++i) status = Check(self + "--warm " + (quick ? "6" : "8") + uris);
  for (const auto& uri : made) ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
  if (status.ok() && quick) bench::PrintMissing("query", "C++, Acero on all of lineitem", "left out by QUICK=1");
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  arrow::Status status = cp::Initialize();
  if (!status.ok()) {
    std::cerr << "query: error: " << status.ToString() << '\n';
    return 1;
  }
  if (args.size() == 4 && args[0] == "--load") {
    status = Load(args[1], args[2], std::atoll(args[3].c_str()));
  } else if (args.size() == 5 && args[0] == "--cold") {
    status = Cold(args[1] == "copied", args[2], args[3], args[4]);
  } else if (args.size() > 2 && args[0] == "--warm") {
    status = Warm(std::strtoul(args[1].c_str(), nullptr, 10), {args.begin() + 2, args.end()});
  } else if (!args.empty()) {
    status = Measure(argv[0], args[0], args.size() == 2 && args[1] == "--quick");
  } else {
    std::cerr << "usage: query LINEITEM.csv [--quick]\n";
    return 2;
  }
  if (!status.ok()) std::cerr << "query: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
