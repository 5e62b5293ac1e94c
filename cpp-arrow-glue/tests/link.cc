// SPDX-License-Identifier: Apache-2.0
// Arrow's multithreaded CSV reader builds its tables, unmodified, on a simulated link whose adversary moves cache
// lines as it likes, and a process of another node compares each with what it parsed itself. No store of the reader
// may be lost, and no step be called missing that is not. CSM_LINK_SECONDS: for how long (else two rounds).

#include "check.hpp"

#include <arrow/csv/api.h>
#include <arrow/io/api.h>

#include <chrono>

namespace {

constexpr int kRows = 60'000;

// Numbers, floats, words and nulls: several types, and memory that grows by reallocation in several threads.
std::string Csv(int round) {
  std::string text = "id,price,word,maybe\n";
  for (int i = 0; i < kRows; ++i) {
    text += std::to_string(i * 7 + round) + ',' + std::to_string(i) + ".25," + "word " +
            std::to_string(i % 1000 * round) + ',' + (i % 3 == 0 ? "" : std::to_string(i)) + '\n';
  }
  return text;
}

std::shared_ptr<arrow::Table> Parse(const std::string& text, arrow::MemoryPool* pool) {
  auto input = std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(text));
  auto read = arrow::csv::ReadOptions::Defaults();
  read.block_size = 128 << 10;
  auto reader = UNWRAP(arrow::csv::TableReader::Make(arrow::io::IOContext(pool), input, read,
                                                     arrow::csv::ParseOptions::Defaults(),
                                                     arrow::csv::ConvertOptions::Defaults()));
  return UNWRAP(reader->Read());
}

// On node 0, which owns the region.
int Build(const std::string& uri, int round) {
  auto region = UNWRAP(csm::Region::Open(uri));
  for (const int i : {round, round + 1}) {
    auto table = Parse(Csv(i), region->memory_pool());
    CHECK_EQ(UNWRAP(region->Publish("csv " + std::to_string(i), table)).bytes_copied, 0u);
  }
  return 0;
}

// On node 1.
int Compare(const std::string& uri, int round) {
  auto region = UNWRAP(csm::Region::Open(uri + "?node=1"));
  for (const int i : {round, round + 1}) {
    auto table = UNWRAP(region->OpenTable("csv " + std::to_string(i)));
    CHECK(table->Equals(*Parse(Csv(i), arrow::default_memory_pool())));
    CHECK_OK(table->ValidateFull());
  }
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return (arguments[0] == "build" ? Build : Compare)(arguments[1], std::stoi(arguments[2]));
  const char* seconds = std::getenv("CSM_LINK_SECONDS");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds ? std::atoi(seconds) : 0);
  setenv("CSM_TEST_SCHEME", "incoherent", 1);
  int round = 0;
  do {
    const std::string line = round % 4 == 0 ? "64" : "128";
    test::ScratchRegion scratch("size=96M&nodes=2&line=" + line + "&seed=" + std::to_string(round + 1));
    test::Join(test::Start({"build", scratch.uri(), std::to_string(round)}));
    test::Join(test::Start({"compare", scratch.uri(), std::to_string(round)}));
    round += 2;
  } while (std::chrono::steady_clock::now() < end);
  std::cout << round << " tables" << std::endl;
  return 0;
}
