// SPDX-License-Identifier: Apache-2.0
// The whole idea: one process builds a table in a region and publishes it, another one reads it where
// it lies. Without arguments it does both, each in a process of its own.
//
//   quickstart write|read URI

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <unistd.h>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

arrow::Status Write(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));

  // Arrow's builders, readers and compute functions take a pool: give them the region's.
  arrow::Int64Builder numbers(region->memory_pool());
  arrow::StringBuilder names(region->memory_pool());
  ARROW_RETURN_NOT_OK(numbers.AppendValues({1, 2, 3}));
  ARROW_RETURN_NOT_OK(names.AppendValues({"one", "two", "three"}));
  ARROW_ASSIGN_OR_RAISE(auto numbers_array, numbers.Finish());
  ARROW_ASSIGN_OR_RAISE(auto names_array, names.Finish());
  auto schema = arrow::schema({arrow::field("number", arrow::int64()), arrow::field("name", arrow::utf8())});
  auto table = arrow::Table::Make(schema, {numbers_array, names_array});

  ARROW_ASSIGN_OR_RAISE(auto report, region->Publish("numbers", table));
  std::cout << "published " << report.rows << " rows, " << report.bytes_copied << " bytes copied; the numbers are at "
            << static_cast<const void*>(numbers_array->data()->buffers[1]->data()) << std::endl;
  return arrow::Status::OK();
}

arrow::Status Read(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto table, region->OpenTable("numbers"));
  std::cout << "opened " << table->num_rows() << " rows; the numbers are at "
            << static_cast<const void*>(table->column(0)->chunk(0)->data()->buffers[1]->data()) << std::endl;
  std::cout << table->ToString();
  return arrow::Status::OK();
}

arrow::Status Both(const std::string& program) {
  const char* scheme = std::getenv("CSM_TEST_SCHEME");  // incoherent: a simulated link
  const std::string uri = std::string(scheme ? scheme : "shm") + ":csm-quickstart-" + std::to_string(getpid());
  ARROW_RETURN_NOT_OK(csm::Region::Create(uri + "?size=16M").status());
  const bool done = std::system(("'" + program + "' write " + uri).c_str()) == 0 &&
                    std::system(("'" + program + "' read " + uri).c_str()) == 0;
  ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
  return done ? arrow::Status::OK() : arrow::Status::UnknownError("one of the two processes failed");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  arrow::Status status;
  if (argc == 1) {
    status = Both(argv[0]);
  } else if (argc == 3 && (mode == "write" || mode == "read")) {
    status = mode == "write" ? Write(argv[2]) : Read(argv[2]);
  } else {
    std::cerr << "usage: quickstart write|read URI\n";
    return 2;
  }
  if (!status.ok()) std::cerr << "quickstart: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
