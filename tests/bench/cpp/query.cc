// SPDX-License-Identifier: Apache-2.0
// TPC-H Q1 and Q6 by Arrow's Acero on lineitem that another process published, beside the same plan on a copy of the
// same chunks in Arrow's default pool. The two take turns in one process.
//
//   query LINEITEM.csv [--quick]        or, as its own child: query --load URI LINEITEM.csv BYTES
//                                       or: query --run RUNS URI...   the first of them is told apart as `libcsm`
#include "csv.hpp"
#include "series.hpp"

#include <csm/arrow.hpp>

#include <arrow/acero/api.h>
#include <arrow/api.h>
#include <arrow/compute/api.h>
#include <arrow/compute/initialize.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
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

struct Source {
  std::string who;
  TablePtr table;
  bool limit;
};

arrow::Status Run(int runs, const std::vector<std::string>& uris) {
  bench::Recorder recorder;
  std::vector<Source> sources;
  for (const auto& uri : uris) {
    ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
    ARROW_ASSIGN_OR_RAISE(auto table, region->OpenTable("lineitem"));
    sources.push_back({sources.empty() ? "libcsm" : "libcsm, huge pages", table, false});
  }
  bench::What what;
  what.work = "query";
  what.step = "C++, Acero";
  what.x = static_cast<double>(sources[0].table->num_rows());
  what.includes = "building and running the plan on all threads; the tables are open";
  const struct {
    const char* name;
    ac::Declaration (*plan)(const TablePtr&);
  } queries[] = {{"Q1", Q1}, {"Q6", Q6}};
  const std::string rows = ", " + std::to_string(sources[0].table->num_rows()) + " rows";
  TablePtr own;
  for (int run = 0; run <= runs; ++run) {
    if (run == 1) {
      // After the cold run, or the published pages would have been mapped by the copy.
      ARROW_ASSIGN_OR_RAISE(own, CopyToDefaultPool(sources[0].table));
      sources.push_back({"default pool", own, true});
    }
    for (const auto& query : queries) {
      std::shared_ptr<arrow::Table> first;
      for (const auto& source : sources) {
        const int64_t start = bench::NowNs();
        ARROW_ASSIGN_OR_RAISE(auto result, ac::DeclarationToTable(query.plan(source.table)));
        const int64_t end = bench::NowNs();
        if (first != nullptr && result->num_rows() != first->num_rows()) return arrow::Status::Invalid("other results");
        first = result;
        what.variant = query.name + rows;
        what.who = source.who;
        what.limit = source.limit;
        what.warm = run > 0;
        // The first warm run fills caches and the pool.
        if (run != 1) recorder.Add(what, static_cast<double>(end - start) / 1e9);
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
  // Each process has one cold run.
  for (int i = 0; i < (quick ? 2 : 5) && status.ok(); ++i) status = Check(self + "--run " + (quick ? "6" : "8") + uris);
  for (const auto& uri : made) ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
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
  } else if (args.size() > 2 && args[0] == "--run") {
    status = Run(std::atoi(args[1].c_str()), {args.begin() + 2, args.end()});
  } else if (!args.empty()) {
    status = Measure(argv[0], args[0], args.size() == 2 && args[1] == "--quick");
  } else {
    std::cerr << "usage: query LINEITEM.csv [--quick]\n";
    return 2;
  }
  if (!status.ok()) std::cerr << "query: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
