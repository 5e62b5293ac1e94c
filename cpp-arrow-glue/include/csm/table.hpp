// SPDX-License-Identifier: Apache-2.0
// Tables in and out: publish and open, through the Arrow C data and C stream interfaces.
#pragma once

#include <csm/region.hpp>
#include <csm/version.hpp>

#include <arrow/c/abi.h>
#include <arrow/c/bridge.h>
#include <arrow/extension_type.h>
#include <arrow/type.h>

#include <memory>
#include <vector>

namespace csm {

// This process's hold on one published generation. While it, or anything read from it, lives, the
// memory under the table is not reused, whatever becomes of its name.
class Lease {
 public:
  ~Lease() { (void)csm_table_close(handle_, nullptr); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  arrow::Result<TableInfo> Info() const {
    internal::Call call;
    TableInfo info{};
    info.struct_size = sizeof info;
    ARROW_RETURN_NOT_OK(call(csm_table_info(handle_, &info, call.error())));
    return info;
  }

  // As often as wanted; each reader begins at the first batch.
  arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> ToReader() const {
    internal::Call call;
    ArrowArrayStream stream{};
    ARROW_RETURN_NOT_OK(call(csm_table_stream(handle_, &stream, call.error())));
    return arrow::ImportRecordBatchReader(&stream);
  }

  arrow::Result<std::shared_ptr<arrow::Table>> ToTable() const {
    ARROW_ASSIGN_OR_RAISE(auto reader, ToReader());
    return arrow::Table::FromRecordBatchReader(reader.get());
  }

  arrow::Result<std::shared_ptr<arrow::Schema>> Schema() const {
    internal::Call call;
    ArrowSchema schema{};
    ARROW_RETURN_NOT_OK(call(csm_table_schema(handle_, &schema, call.error())));
    return arrow::ImportSchema(&schema);
  }

  // The same table, under the same lease, with these of its columns alone and in this order. Where caches are
  // not kept coherent, a column that is not selected costs nothing.
  arrow::Result<std::shared_ptr<Lease>> Select(const std::vector<uint64_t>& columns) const {
    internal::Call call;
    csm_table_t* selected = nullptr;
    ARROW_RETURN_NOT_OK(call(csm_table_select(handle_, columns.data(), columns.size(), &selected, call.error())));
    return std::shared_ptr<Lease>(new Lease(selected));
  }

  arrow::Result<std::shared_ptr<arrow::RecordBatch>> Batch(uint64_t index) const {
    internal::Call call;
    ArrowSchema schema{};
    ArrowArray array{};
    ARROW_RETURN_NOT_OK(call(csm_table_schema(handle_, &schema, call.error())));
    const auto status = call(csm_table_batch(handle_, index, &array, call.error()));
    if (!status.ok()) {
      schema.release(&schema);
      return status;
    }
    return arrow::ImportRecordBatch(&array, &schema);
  }

  // Whether the hold still counts: what was read before a successful check was good. On one machine it
  // always does; across machines a hold of a node that fell silent may have been withdrawn.
  arrow::Status Check() const {
    internal::Call call;
    return call(csm_table_check(handle_, call.error()));
  }

  // Whether the name still stands for this generation: false once it was replaced or removed.
  arrow::Result<bool> IsCurrent() const {
    internal::Call call;
    bool current = false;
    ARROW_RETURN_NOT_OK(call(csm_table_is_current(handle_, &current, call.error())));
    return current;
  }

  // Every value, as OpenOptions::validate does at open.
  arrow::Status Validate() const {
    internal::Call call;
    return call(csm_table_validate(handle_, call.error()));
  }

 private:
  friend class Region;
  explicit Lease(csm_table_t* handle) : handle_(handle) {}

  csm_table_t* const handle_;
};

namespace internal {

inline csm_publish_options_t ToC(const PublishOptions& options) {
  csm_publish_options_t c{};
  c.struct_size = sizeof c;
  c.replace = options.replace;
  c.seal = options.seal;
  return c;
}

// Arrow before 21 exports an extension type over views without the sizes of its data buffers, in their
// place the last buffer itself: the data would be lost, and nobody could tell.
inline bool ExportLosesData([[maybe_unused]] const arrow::DataType& type) {
#if ARROW_VERSION_MAJOR >= 15 && ARROW_VERSION_MAJOR < 21
  if (type.id() == arrow::Type::EXTENSION) {
    const auto& storage = *static_cast<const arrow::ExtensionType&>(type).storage_type();
    const auto id = storage.id();
    return id == arrow::Type::BINARY_VIEW || id == arrow::Type::STRING_VIEW || ExportLosesData(storage);
  }
  if (type.id() == arrow::Type::DICTIONARY) {
    return ExportLosesData(*static_cast<const arrow::DictionaryType&>(type).value_type());
  }
  for (const auto& field : type.fields()) {
    if (ExportLosesData(*field->type())) return true;
  }
#endif
  return false;
}

inline arrow::Status CheckExport(const arrow::Schema& schema) {
  for (const auto& field : schema.fields()) {
    if (!ExportLosesData(*field->type())) continue;
    return arrow::Status::NotImplemented("column \"", field->name(), "\": Arrow " ARROW_VERSION_STRING,
                                         " cannot export an extension type over views; use Arrow 21, or cast it");
  }
  return arrow::Status::OK();
}

}  // namespace internal

inline arrow::Result<PublishReport> Region::Publish(const std::string& name, const arrow::RecordBatch& batch,
                                                    const PublishOptions& options) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(name, "name"));
  ARROW_RETURN_NOT_OK(internal::CheckExport(*batch.schema()));
  const auto c_options = internal::ToC(options);
  ArrowSchema schema{};
  ArrowArray array{};
  ARROW_RETURN_NOT_OK(arrow::ExportRecordBatch(batch, &array, &schema));
  internal::Call call;
  PublishReport report{};
  report.struct_size = sizeof report;
  ARROW_RETURN_NOT_OK(
      call(csm_table_publish(handle_, name.c_str(), &schema, &array, &c_options, &report, call.error())));
  return report;
}

inline arrow::Result<PublishReport> Region::Publish(const std::string& name,
                                                    std::shared_ptr<arrow::RecordBatchReader> reader,
                                                    const PublishOptions& options) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(name, "name"));
  ARROW_RETURN_NOT_OK(internal::CheckExport(*reader->schema()));
  const auto c_options = internal::ToC(options);
  ArrowArrayStream stream{};
  ARROW_RETURN_NOT_OK(arrow::ExportRecordBatchReader(std::move(reader), &stream));
  internal::Call call;
  PublishReport report{};
  report.struct_size = sizeof report;
  ARROW_RETURN_NOT_OK(
      call(csm_table_publish_stream(handle_, name.c_str(), &stream, &c_options, &report, call.error())));
  return report;
}

// The table's columns may be chunked differently; a batch ends wherever a chunk does.
inline arrow::Result<PublishReport> Region::Publish(const std::string& name, const std::shared_ptr<arrow::Table>& table,
                                                    const PublishOptions& options) {
  return Publish(name, std::make_shared<arrow::TableBatchReader>(table), options);
}

inline arrow::Result<std::shared_ptr<Lease>> Region::OpenLease(const std::string& name, const OpenOptions& options) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(name, "name"));
  csm_open_options_t c_options{};
  c_options.struct_size = sizeof c_options;
  c_options.validate = options.validate;
  internal::Call call;
  csm_table_t* handle = nullptr;
  ARROW_RETURN_NOT_OK(call(csm_table_open(handle_, name.c_str(), &c_options, &handle, call.error())));
  return std::shared_ptr<Lease>(new Lease(handle));
}

inline arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> Region::OpenReader(const std::string& name,
                                                                                   const OpenOptions& options) {
  ARROW_ASSIGN_OR_RAISE(auto lease, OpenLease(name, options));
  return lease->ToReader();
}

inline arrow::Result<std::shared_ptr<arrow::Table>> Region::OpenTable(const std::string& name,
                                                                      const OpenOptions& options) {
  ARROW_ASSIGN_OR_RAISE(auto lease, OpenLease(name, options));
  return lease->ToTable();
}

}  // namespace csm
