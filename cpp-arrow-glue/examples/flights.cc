// SPDX-License-Identifier: Apache-2.0
// A CSV file into a region with Arrow's own reader, published under a name, and how long that takes
// beside sending the same table to another process through Arrow IPC.
//
//   flights URI NAME CSV
//
// Prints a line `address COLUMN CHUNK BUFFER 0x...` for every buffer as the reader left it, for others
// to compare with what they see. Without arguments it tests itself on a file of its own.

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <arrow/ipc/api.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

double MillisecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

arrow::Result<std::shared_ptr<arrow::Table>> ReadCsv(const std::string& path, arrow::MemoryPool* pool) {
  ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::ReadableFile::Open(path));
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::csv::TableReader::Make(arrow::io::IOContext(pool), file,
                                                                   arrow::csv::ReadOptions::Defaults(),
                                                                   arrow::csv::ParseOptions::Defaults(),
                                                                   arrow::csv::ConvertOptions::Defaults()));
  return reader->Read();
}

void PrintAddresses(const csm::Region& region, const arrow::Table& table) {
  for (int c = 0; c < table.num_columns(); ++c) {
    int number = 0;
    for (const auto& chunk : table.column(c)->chunks()) {
      if (chunk->length() == 0) continue;  // not published
      const auto& buffers = chunk->data()->buffers;
      for (size_t b = 0; b < buffers.size(); ++b) {
        if (buffers[b] == nullptr || !region.Contains(buffers[b]->data())) continue;
        std::printf("address %s %d %zu %p\n", table.field(c)->name().c_str(), number, b,
                    static_cast<const void*>(buffers[b]->data()));
      }
      ++number;
    }
  }
}

pid_t Run(std::vector<std::string> arguments, const posix_spawn_file_actions_t* actions) {
  arguments.insert(arguments.begin(), "/proc/self/exe");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  return posix_spawn(&pid, argv[0], actions, nullptr, argv.data(), environ) == 0 ? pid : -1;
}

arrow::Status Ended(pid_t pid) {
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return arrow::Status::IOError("no other process");
  return status == 0 ? arrow::Status::OK() : arrow::Status::IOError("the other process failed");
}

// Arrow's files want to seek; a pipe cannot.
class PipeInput final : public arrow::io::InputStream {
 public:
  explicit PipeInput(int fd) : fd_(fd) {}
  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Result<int64_t> Read(int64_t size, void* out) override {
    int64_t done = 0;
    while (done < size) {
      const ssize_t got = read(fd_, static_cast<char*>(out) + done, static_cast<size_t>(size - done));
      if (got < 0) return arrow::Status::IOError("read from the pipe failed");
      if (got == 0) break;
      done += got;
    }
    position_ += done;
    return done;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t size) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(size));
    ARROW_ASSIGN_OR_RAISE(const int64_t got, Read(size, buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(got));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

 private:
  int fd_;
  int64_t position_ = 0;
};

class PipeOutput final : public arrow::io::OutputStream {
 public:
  explicit PipeOutput(int fd) : fd_(fd) {}
  arrow::Status Close() override { return close(fd_) == 0 ? arrow::Status::OK() : arrow::Status::IOError("close"); }
  bool closed() const override { return false; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  using arrow::io::OutputStream::Write;
  arrow::Status Write(const void* bytes, int64_t size) override {
    for (int64_t done = 0; done < size;) {
      const ssize_t put = write(fd_, static_cast<const char*>(bytes) + done, static_cast<size_t>(size - done));
      if (put < 0) return arrow::Status::IOError("write to the pipe failed");
      done += put;
    }
    position_ += size;
    return arrow::Status::OK();
  }

 private:
  int fd_;
  int64_t position_ = 0;
};

// The other end of the pipe: reads the whole table, then says so.
arrow::Status Receive() {
  auto input = std::make_shared<PipeInput>(STDIN_FILENO);
  if (write(STDOUT_FILENO, "r", 1) != 1) return arrow::Status::IOError("cannot say ready");
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::ipc::RecordBatchStreamReader::Open(input));
  ARROW_ASSIGN_OR_RAISE(auto table, reader->ToTable());
  return write(STDOUT_FILENO, "d", 1) == 1 ? arrow::Status::OK() : arrow::Status::IOError("cannot say done");
}

// From the first byte written to the last column read by a process that waits for it.
arrow::Result<double> IpcMilliseconds(const std::shared_ptr<arrow::Table>& table) {
  int data[2], signals[2];
  if (pipe(data) != 0 || pipe(signals) != 0) return arrow::Status::IOError("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, data[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, signals[1], STDOUT_FILENO);
  for (int fd : {data[0], data[1], signals[0], signals[1]}) posix_spawn_file_actions_addclose(&actions, fd);
  const pid_t receiver = Run({"--receive"}, &actions);
  posix_spawn_file_actions_destroy(&actions);
  close(data[0]);
  close(signals[1]);

  char signal = 0;
  if (read(signals[0], &signal, 1) != 1) return arrow::Status::IOError("the receiver did not start");
  const auto start = std::chrono::steady_clock::now();
  auto output = std::make_shared<PipeOutput>(data[1]);
  ARROW_ASSIGN_OR_RAISE(auto writer, arrow::ipc::MakeStreamWriter(output, table->schema()));
  ARROW_RETURN_NOT_OK(writer->WriteTable(*table));
  ARROW_RETURN_NOT_OK(writer->Close());
  ARROW_RETURN_NOT_OK(output->Close());
  if (read(signals[0], &signal, 1) != 1) return arrow::Status::IOError("the receiver did not get the table");
  const double milliseconds = MillisecondsSince(start);
  close(signals[0]);
  ARROW_RETURN_NOT_OK(Ended(receiver));
  return milliseconds;
}

arrow::Status Load(const std::string& uri, const std::string& name, const std::string& csv) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  auto start = std::chrono::steady_clock::now();
  ARROW_ASSIGN_OR_RAISE(auto table, ReadCsv(csv, region->memory_pool()));
  const double read_ms = MillisecondsSince(start);

  start = std::chrono::steady_clock::now();
  ARROW_ASSIGN_OR_RAISE(const auto report, region->Publish(name, table));
  const double publish_ms = MillisecondsSince(start);

  std::printf("%llu rows, %d columns, %llu batches, %.1f MB in the region\n",
              static_cast<unsigned long long>(report.rows), table->num_columns(),
              static_cast<unsigned long long>(report.batches), static_cast<double>(report.bytes_in_place) / 1e6);
  PrintAddresses(*region, *table);
  std::printf("copied_bytes %llu\n", static_cast<unsigned long long>(report.bytes_copied));
  std::printf("read the CSV file      %10.3f ms\n", read_ms);
  std::printf("published              %10.3f ms\n", publish_ms);

  start = std::chrono::steady_clock::now();
  ARROW_ASSIGN_OR_RAISE(auto opened, region->OpenTable(name));
  std::printf("opened                 %10.3f ms\n", MillisecondsSince(start));
  ARROW_ASSIGN_OR_RAISE(const double ipc_ms, IpcMilliseconds(table));
  std::printf("Arrow IPC over a pipe  %10.3f ms for the same table\n", ipc_ms);
  return opened->Equals(*table) ? arrow::Status::OK() : arrow::Status::UnknownError("what was opened differs");
}

arrow::Status TestIn(const std::string& uri) {
  const std::string csv = "/tmp/csm-flights-" + std::to_string(getpid()) + ".csv";
  std::ofstream file(csv);
  file << "carrier,dep_delay,time_hour\n";
  for (int row = 0; row < 100'000; ++row) file << "UA," << row % 60 << ",2013-01-01T10:00:00Z\n";
  file.close();
  const auto status = Ended(Run({uri, "flights", csv}, nullptr));
  unlink(csv.c_str());
  ARROW_RETURN_NOT_OK(status);
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto table, region->OpenTable("flights"));
  return table->num_rows() == 100'000 ? arrow::Status::OK() : arrow::Status::UnknownError("rows are missing");
}

arrow::Status Test() {
  const char* scheme = std::getenv("CSM_TEST_SCHEME");  // incoherent: a simulated link
  const std::string uri = std::string(scheme ? scheme : "shm") + ":csm-flights-" + std::to_string(getpid());
  ARROW_RETURN_NOT_OK(csm::Region::Create(uri + "?size=32M").status());
  const auto status = TestIn(uri);
  ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  arrow::Status status;
  if (argc == 1) {
    status = Test();
  } else if (argc == 2 && argv[1] == std::string("--receive")) {
    status = Receive();
  } else if (argc == 4) {
    status = Load(argv[1], argv[2], argv[3]);
  } else {
    std::cerr << "usage: flights URI NAME CSV\n";
    return 2;
  }
  if (!status.ok()) std::cerr << "flights: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
