// SPDX-License-Identifier: Apache-2.0
// Errors of libcsm as arrow::Status: the kind decides Arrow's code, the sentence is kept word for
// word, and the exact kind and errno travel along as a detail.
#pragma once

#include <csm.h>

#include <arrow/status.h>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace csm {

// What an arrow::Status that came from libcsm carries beside its message.
class StatusDetail final : public arrow::StatusDetail {
 public:
  StatusDetail(csm_status_t code, int32_t sys_errno) : code_(code), sys_errno_(sys_errno) {}

  static constexpr const char* kTypeId = "csm::StatusDetail";
  const char* type_id() const override { return kTypeId; }
  std::string ToString() const override { return csm_status_name(code_); }

  csm_status_t code() const { return code_; }
  // 0 where no system call failed.
  int32_t sys_errno() const { return sys_errno_; }

 private:
  csm_status_t code_;
  int32_t sys_errno_;
};

// The CSM_E_... code of a status, or CSM_OK where libcsm had no part in it.
inline csm_status_t CodeOf(const arrow::Status& status) {
  const auto& detail = status.detail();
  if (detail == nullptr || detail->type_id() != std::string(StatusDetail::kTypeId)) return CSM_OK;
  return static_cast<const StatusDetail&>(*detail).code();
}

namespace internal {

inline arrow::StatusCode ArrowCodeOf(csm_status_t code) {
  using arrow::StatusCode;
  switch (code) {
    case CSM_E_INVALID_ARGUMENT:
    case CSM_E_BAD_URI:
    case CSM_E_BAD_SIZE:
    case CSM_E_BAD_ALIGNMENT:
    case CSM_E_BAD_NAME:
    case CSM_E_OPTION_MISMATCH:
    case CSM_E_NOT_OWNER:
    case CSM_E_READ_ONLY:
    case CSM_E_FOREIGN_POINTER:
    case CSM_E_DOUBLE_FREE:
    case CSM_E_BAD_ARROW:
    case CSM_E_CLOSED:
    case CSM_E_FORKED:
      return StatusCode::Invalid;
    case CSM_E_REGION_NOT_FOUND:
    case CSM_E_NAME_NOT_FOUND:
      return StatusCode::KeyError;
    case CSM_E_REGION_EXISTS:
    case CSM_E_NAME_TAKEN:
      return StatusCode::AlreadyExists;
    case CSM_E_NO_MEMORY:
    case CSM_E_REGION_FULL:
      return StatusCode::OutOfMemory;
    case CSM_E_CATALOG_FULL:
    case CSM_E_LEASES_FULL:
    case CSM_E_MEMBERS_FULL:
      return StatusCode::CapacityError;
    case CSM_E_UNSUPPORTED:
      return StatusCode::NotImplemented;
    case CSM_E_INTERNAL:
      return StatusCode::UnknownError;
    default:  // what is wrong outside the program: files, permissions, memory that went away, time
      return StatusCode::IOError;
  }
}

// One call into libcsm: `Call call; return call(csm_...(..., call.error()));`. The message is left
// uninitialized until there is one, because allocations pass here too.
class Call {
 public:
  Call() {
    error_.struct_size = sizeof error_;
    error_.status = CSM_OK;
    error_.sys_errno = 0;
    error_.message[0] = '\0';
  }

  csm_error_t* error() { return &error_; }

  arrow::Status operator()(csm_status_t code) const { return code == CSM_OK ? arrow::Status::OK() : Failed(code); }

 private:
  arrow::Status Failed(csm_status_t code) const {
    std::string message = error_.message[0] != '\0' ? error_.message : csm_status_name(code);
    return arrow::Status(ArrowCodeOf(code), std::move(message),
                         std::make_shared<StatusDetail>(code, error_.sys_errno));
  }

  csm_error_t error_;
};

// libcsm takes names that end at a NUL.
inline arrow::Status CheckNoNul(const std::string& text, const char* what) {
  if (text.find('\0') == std::string::npos) return arrow::Status::OK();
  return arrow::Status(arrow::StatusCode::Invalid,
                       std::string("the ") + what + " \"" + text.c_str() + "...\" holds a NUL byte; leave it out",
                       std::make_shared<StatusDetail>(CSM_E_INVALID_ARGUMENT, 0));
}

}  // namespace internal
}  // namespace csm
