// SPDX-License-Identifier: Apache-2.0
// What the tests share: checks that say what they saw, a region that goes away with the test however it
// ends, and a way to run a part of the test in a process of its own (never in a bare fork: a forked child
// may not use its parent's regions). A test is one file, and defines Test() in place of main().
#pragma once

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#define CHECK(condition) \
  ((condition) ? (void)0 : test::Fail(__FILE__, __LINE__, std::string("not true: ") + #condition))
#define CHECK_EQ(left, right)                                                              \
  ([](const auto& l, const auto& r) {                                                      \
    if (l == r) return;                                                                    \
    std::cerr << l << " != " << r << '\n';                                                 \
    test::Fail(__FILE__, __LINE__, std::string("not equal: ") + #left + " and " + #right); \
  }(left, right))
#define CHECK_OK(status) test::Ok(__FILE__, __LINE__, #status, status)
#define UNWRAP(result) test::Unwrap(__FILE__, __LINE__, #result, result)
// Fails with this CSM_E_... code and this kind of arrow::Status.
#define CHECK_FAILS(status, csm_code, is_kind)                 \
  ([](const arrow::Status& s) {                                \
    if (csm::CodeOf(s) == (csm_code) && s.is_kind()) return;   \
    test::Fail(__FILE__, __LINE__, "got " + s.ToString() + " instead of " + #csm_code + " from " + #status); \
  }(test::StatusOf(status)))

namespace test {

struct Failed {};

[[noreturn]] inline void Fail(const char* file, int line, const std::string& what) {
  std::cerr << file << ':' << line << ": " << what << std::endl;
  throw Failed();
}

[[noreturn]] inline void Skip(const std::string& why) {
  std::cout << why << std::endl;
  std::_Exit(77);
}

inline void Ok(const char* file, int line, const char* what, const arrow::Status& status) {
  if (!status.ok()) Fail(file, line, std::string(what) + ": " + status.ToString());
}

template <class T>
T Unwrap(const char* file, int line, const char* what, arrow::Result<T> result) {
  Ok(file, line, what, result.status());
  return std::move(result).ValueUnsafe();
}

inline arrow::Status StatusOf(const arrow::Status& status) { return status; }
template <class T>
arrow::Status StatusOf(const arrow::Result<T>& result) {
  return result.status();
}

// Other processes of this test that were not waited for.
inline std::vector<pid_t> running;

// Runs this program again with `arguments`, beside this process.
inline pid_t Start(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/proc/self/exe");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
  if (error != 0) Fail(__FILE__, __LINE__, "posix_spawn: error " + std::to_string(error));
  running.push_back(pid);
  return pid;
}

// Waits for its end, and fails unless that is 0.
inline void Join(pid_t pid) {
  running.erase(std::remove(running.begin(), running.end(), pid), running.end());
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) Fail(__FILE__, __LINE__, "waitpid");
  if (!WIFEXITED(status)) {
    Fail(__FILE__, __LINE__, "the other process died of signal " + std::to_string(WTERMSIG(status)));
  }
  if (WEXITSTATUS(status) != 0) {
    Fail(__FILE__, __LINE__, "the other process ended with " + std::to_string(WEXITSTATUS(status)));
  }
}

inline void Run(std::vector<std::string> arguments) { Join(Start(std::move(arguments))); }

// What kind of region the tests use: CSM_TEST_SCHEME=incoherent is a simulated link.
inline std::string Scheme() {
  const char* scheme = std::getenv("CSM_TEST_SCHEME");
  return scheme ? scheme : "shm";
}

// A region's URI, unlike any other test's. Declared by the process that lasts longest and uses no
// pool of the region itself (a pool keeps its region open to the end of the process).
class ScratchRegion {
 public:
  explicit ScratchRegion(const std::string& options)
      : name_(Scheme() + ":csm-cpp-test-" + std::to_string(getpid()) + "-" + std::to_string(count_++)) {
    auto region = csm::Region::Create(name_ + "?" + options);
    if (region.status().IsOutOfMemory()) Skip(region.status().message());
    CHECK_OK(region.status());
  }
  ~ScratchRegion() {
    for (const pid_t pid : running) {  // the test has failed
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    running.clear();
    const auto status = csm::Region::Destroy(name_);
    if (status.ok()) return;
    std::cerr << "a test's region is left: " << status.ToString() << std::endl;
    std::_Exit(1);
  }
  ScratchRegion(const ScratchRegion&) = delete;
  ScratchRegion& operator=(const ScratchRegion&) = delete;

  const std::string& uri() const { return name_; }

 private:
  static inline int count_ = 0;
  std::string name_;
};

// A file that is gone after the test.
class ScratchFile {
 public:
  ScratchFile() {
    const int fd = mkstemp(path_.data());
    if (fd < 0) Fail(__FILE__, __LINE__, "mkstemp " + path_);
    close(fd);
  }
  ~ScratchFile() { unlink(path_.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/csm-cpp-test-XXXXXX";
};

// The address of every buffer that has bytes, else 0, in order: columns, chunks, children and
// dictionaries. Where there are no rows there is nothing to keep: Arrow leaves out such chunks, and makes up
// the one offset of such a child.
using Addresses = std::vector<uintptr_t>;

inline void AddAddresses(const arrow::ArrayData& data, Addresses* addresses) {
  for (const auto& buffer : data.buffers) {
    const bool has_bytes = buffer != nullptr && buffer->size() > 0 && data.length > 0;
    addresses->push_back(has_bytes ? reinterpret_cast<uintptr_t>(buffer->data()) : 0);
  }
  for (const auto& child : data.child_data) AddAddresses(*child, addresses);
  if (data.dictionary != nullptr) AddAddresses(*data.dictionary, addresses);
}

inline Addresses AddressesOf(const arrow::Table& table) {
  Addresses addresses;
  for (const auto& column : table.columns()) {
    for (const auto& chunk : column->chunks()) {
      if (chunk->length() > 0) AddAddresses(*chunk->data(), &addresses);
    }
  }
  return addresses;
}

// How many buffers of `table` lie where `original` has them. Fails if any lies elsewhere; one that nobody
// needs (a bitmap without nulls) may be missing.
inline size_t CountInPlace(const arrow::Table& table, const Addresses& original) {
  const Addresses addresses = AddressesOf(table);
  CHECK_EQ(addresses.size(), original.size());
  size_t in_place = 0;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i] == 0) continue;
    CHECK_EQ(addresses[i], original[i]);
    ++in_place;
  }
  return in_place;
}

}  // namespace test

// The test, or with arguments the part of it that another process runs. 0 if all is well.
int Test(const std::vector<std::string>& arguments);

int main(int argc, char** argv) {
  try {
    return Test({argv + 1, argv + argc});
  } catch (const test::Failed&) {
    return 1;
  }
}
