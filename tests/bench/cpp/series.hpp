// SPDX-License-Identifier: Apache-2.0
// What the C++ benchmarks share: the clock, and the lines of JSON that tests/bench/run.py reads.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace bench {

inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline int64_t PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

inline std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

// What every sample of a series has in common.
struct What {
  std::string work, variant, who, step, includes;
  double x = 0;  // for plots; 0: nothing is varied
  bool warm = true;
  bool limit = false;
  std::string unit = "s";

  auto Key() const { return std::tie(variant, x, who, step, warm); }
  bool operator<(const What& other) const { return Key() < other.Key(); }
};

// Collects samples and prints a line a series, in the order in which they first came.
class Recorder {
 public:
  void Add(const What& what, double sample) {
    const auto [at, fresh] = index_.emplace(what, series_.size());
    if (fresh) series_.emplace_back(what, std::vector<double>());
    series_[at->second].second.push_back(sample);
  }

  void Print() const {
    for (const auto& [what, samples] : series_) {
      const std::string x = what.x > 0 ? ", \"x\": " + std::to_string(what.x) : "";
      std::printf("{\"work\": %s, \"case\": %s%s, \"who\": %s, \"what\": %s, \"unit\": %s, \"warm\": %s, "
                  "\"limit\": %s, \"includes\": %s, \"samples\": [",
                  Quoted(what.work).c_str(), Quoted(what.variant).c_str(), x.c_str(), Quoted(what.who).c_str(),
                  Quoted(what.step).c_str(), Quoted(what.unit).c_str(), what.warm ? "true" : "false",
                  what.limit ? "true" : "false", Quoted(what.includes).c_str());
      for (size_t i = 0; i < samples.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : ", ", samples[i]);
      std::printf("]}\n");
    }
    std::fflush(stdout);
  }

 private:
  std::map<What, size_t> index_;
  std::vector<std::pair<What, std::vector<double>>> series_;
};

inline void PrintMissing(const std::string& work, const std::string& what, const std::string& why) {
  std::printf("{\"work\": %s, \"missing\": %s, \"why\": %s}\n", Quoted(work).c_str(), Quoted(what).c_str(),
              Quoted(why).c_str());
  std::fflush(stdout);
}

}  // namespace bench
