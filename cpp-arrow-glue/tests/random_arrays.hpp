// SPDX-License-Identifier: Apache-2.0
// Arrays of every Arrow type, drawn from a seed: the same seed gives the same values in any pool and
// any process. Leaves come from Arrow's builders; nested arrays are put together from their parts, so
// that dictionaries, runs and extensions may sit at any depth.
#pragma once

#include "check.hpp"

#include <arrow/extension_type.h>
#include <arrow/util/decimal.h>
#include <arrow/visit_type_inline.h>
#include <random>
#include <type_traits>

namespace test {

// An extension type over any storage.
class Tagged : public arrow::ExtensionType {
 public:
  explicit Tagged(std::shared_ptr<arrow::DataType> storage) : ExtensionType(std::move(storage)) {}
  std::string extension_name() const override { return "csm.test.tagged"; }
  bool ExtensionEquals(const arrow::ExtensionType& other) const override {
    return other.extension_name() == extension_name() && other.storage_type()->Equals(storage_type());
  }
  std::shared_ptr<arrow::Array> MakeArray(std::shared_ptr<arrow::ArrayData> data) const override {
    return std::make_shared<arrow::ExtensionArray>(std::move(data));
  }
  arrow::Result<std::shared_ptr<arrow::DataType>> Deserialize(std::shared_ptr<arrow::DataType> storage,
                                                              const std::string& serialized) const override {
    if (serialized != "tag") return arrow::Status::Invalid("not serialized by Tagged: ", serialized);
    return std::make_shared<Tagged>(std::move(storage));
  }
  std::string Serialize() const override { return "tag"; }

  static void Register() { CHECK_OK(arrow::RegisterExtensionType(std::make_shared<Tagged>(arrow::null()))); }
};

inline std::vector<std::shared_ptr<arrow::DataType>> LeafTypes() {
  using namespace arrow;  // NOLINT: a list of type factories
  return {
      null(), boolean(), int8(), uint8(), int16(), uint16(), int32(), uint32(), int64(), uint64(),
      float16(), float32(), float64(), decimal128(38, 5), decimal256(70, -3), date32(), date64(),
      time32(TimeUnit::SECOND), time32(TimeUnit::MILLI), time64(TimeUnit::MICRO), time64(TimeUnit::NANO),
      timestamp(TimeUnit::SECOND), timestamp(TimeUnit::NANO, "Europe/Berlin"), duration(TimeUnit::MILLI),
      month_interval(), day_time_interval(), month_day_nano_interval(), fixed_size_binary(7),
      fixed_size_binary(0), binary(), utf8(), large_binary(), large_utf8(),
#if ARROW_VERSION_MAJOR >= 15
      binary_view(), utf8_view(),
#endif
#if ARROW_VERSION_MAJOR >= 19
      decimal32(9, 2), decimal64(18, 4),
#endif
  };
}

class RandomArrays {
 public:
  RandomArrays(uint64_t seed, arrow::MemoryPool* pool) : random_(seed), pool_(pool) {}

  // From 0 to most, both included.
  int64_t Draw(int64_t most) { return static_cast<int64_t>(random_() % (static_cast<uint64_t>(most) + 1)); }

  // One of each kind of nested type, around `child`.
  std::vector<std::shared_ptr<arrow::DataType>> Nested(const std::shared_ptr<arrow::DataType>& child) {
    using namespace arrow;  // NOLINT: a list of type factories
    auto other = Leaf();
    FieldVector fields = {field("a", child), field("b", other)};
    DataTypeVector types = {
        list(child), large_list(child), fixed_size_list(child, 3), fixed_size_list(child, 0), struct_(fields),
        struct_({}), map(utf8(), child), sparse_union(fields, {5, 0}), dense_union(fields, {1, 127}),
        dictionary(Draw(1) == 0 ? int8() : uint32(), child)};
    // Arrow has wrong exports of extension types: over views before 21 (refused by Publish), over runs before 26.
    const std::string storage = child->ToString();
    const bool views = storage == "string_view" || storage == "binary_view";
    const bool runs = storage.rfind("run_end_encoded", 0) == 0;
    if (!(views && ARROW_VERSION_MAJOR < 21) && !(runs && ARROW_VERSION_MAJOR < 26)) {
      types.push_back(std::make_shared<Tagged>(child));
    }
#if ARROW_VERSION_MAJOR >= 15
    types.push_back(list_view(child));
    types.push_back(large_list_view(child));
    // Runs of runs are not allowed.
    if (child->id() != Type::RUN_END_ENCODED) types.push_back(run_end_encoded(Draw(1) == 0 ? int16() : int64(), child));
#endif
    return types;
  }

  std::shared_ptr<arrow::DataType> Leaf() {
    const auto leaves = LeafTypes();
    return leaves[static_cast<size_t>(Draw(static_cast<int64_t>(leaves.size()) - 1))];
  }

  std::shared_ptr<arrow::DataType> Type(int depth) {
    if (depth == 0 || Draw(2) == 0) return Leaf();
    const auto types = Nested(Type(depth - 1));
    return types[static_cast<size_t>(Draw(static_cast<int64_t>(types.size()) - 1))];
  }

  // An array of `type`, with an offset now and then. Not without rows: Arrow finds its own import of an empty
  // view array with an offset invalid.
  std::shared_ptr<arrow::Array> Make(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const int64_t before = length > 0 && Draw(3) == 0 ? Draw(11) : 0;
    const int64_t after = Draw(3) == 0 ? Draw(11) : 0;
    auto whole = MakeWhole(type, before + length + after);
    return before + after == 0 ? whole : whole->Slice(before, length);
  }

 private:
  using Array = std::shared_ptr<arrow::Array>;
  using Buffer = std::shared_ptr<arrow::Buffer>;

  Array MakeWhole(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    switch (type->id()) {
      case arrow::Type::STRUCT: {
        arrow::ArrayVector children;
        for (const auto& field : type->fields()) children.push_back(Make(field->type(), length));
        return Put(type, length, {Validity(length)}, children);
      }
      case arrow::Type::LIST: return MakeList<int32_t>(type, length);
      case arrow::Type::LARGE_LIST: return MakeList<int64_t>(type, length);
      case arrow::Type::MAP: return MakeMap(type, length);
      case arrow::Type::FIXED_SIZE_LIST: {
        const auto& list = static_cast<const arrow::FixedSizeListType&>(*type);
        return Put(type, length, {Validity(length)}, {Make(list.value_type(), length * list.list_size())});
      }
      case arrow::Type::SPARSE_UNION:
      case arrow::Type::DENSE_UNION: return MakeUnion(type, length);
      case arrow::Type::DICTIONARY: return MakeDictionary(type, length);
      case arrow::Type::EXTENSION: {
        auto storage = MakeWhole(static_cast<const arrow::ExtensionType&>(*type).storage_type(), length);
        return arrow::ExtensionType::WrapArray(type, storage);
      }
#if ARROW_VERSION_MAJOR >= 15
      case arrow::Type::LIST_VIEW: return MakeListView<int32_t>(type, length);
      case arrow::Type::LARGE_LIST_VIEW: return MakeListView<int64_t>(type, length);
      case arrow::Type::RUN_END_ENCODED: return MakeRuns(type, length);
#endif
      default: return MakeLeaf(type, length);
    }
  }

  static Array Put(const std::shared_ptr<arrow::DataType>& type, int64_t length, std::vector<Buffer> buffers,
                   const arrow::ArrayVector& children) {
    auto data = arrow::ArrayData::Make(type, length, std::move(buffers));
    for (const auto& child : children) data->child_data.push_back(child->data());
    return arrow::MakeArray(data);
  }

  // Now and then absent.
  Buffer Validity(int64_t length) {
    if (Draw(2) == 0) return nullptr;
    arrow::TypedBufferBuilder<bool> bits(pool_);
    for (int64_t i = 0; i < length; ++i) CHECK_OK(bits.Append(Draw(4) != 0));
    return UNWRAP(bits.Finish());
  }

  template <class T>
  Buffer Values(const std::vector<T>& values) {
    arrow::TypedBufferBuilder<T> builder(pool_);
    for (const T value : values) CHECK_OK(builder.Append(value));
    return UNWRAP(builder.Finish());
  }

  template <class Offset>
  std::vector<Offset> Offsets(int64_t length) {
    std::vector<Offset> offsets = {static_cast<Offset>(Draw(2))};
    for (int64_t i = 0; i < length; ++i) offsets.push_back(static_cast<Offset>(offsets.back() + Draw(3)));
    return offsets;
  }

  template <class Offset>
  Array MakeList(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const auto offsets = Offsets<Offset>(length);
    return Put(type, length, {Validity(length), Values(offsets)}, {Make(type->field(0)->type(), offsets.back())});
  }

  template <class Offset>
  Array MakeListView(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const int64_t values = Draw(2 * length + 1);
    std::vector<Offset> offsets, sizes;
    for (int64_t i = 0; i < length; ++i) {
      offsets.push_back(static_cast<Offset>(Draw(values)));
      sizes.push_back(static_cast<Offset>(Draw(values - offsets.back())));
    }
    return Put(type, length, {Validity(length), Values(offsets), Values(sizes)},
               {Make(type->field(0)->type(), values)});
  }

  // Keys and entries have no nulls.
  Array MakeMap(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const auto& map = static_cast<const arrow::MapType&>(*type);
    const auto offsets = Offsets<int32_t>(length);
    arrow::StringBuilder keys(pool_);
    for (int64_t i = 0; i < offsets.back(); ++i) CHECK_OK(keys.Append("key " + std::to_string(Draw(1000))));
    auto entries = Put(map.value_type(), offsets.back(), {nullptr},
                       {UNWRAP(keys.Finish()), Make(map.item_type(), offsets.back())});
    return Put(type, length, {Validity(length), Values(offsets)}, {entries});
  }

  Array MakeUnion(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const auto& shape = static_cast<const arrow::UnionType&>(*type);
    const bool dense = type->id() == arrow::Type::DENSE_UNION;
    std::vector<int8_t> codes;
    std::vector<int32_t> offsets, used(static_cast<size_t>(type->num_fields()), 0);
    for (int64_t i = 0; i < length; ++i) {
      const auto child = static_cast<size_t>(Draw(type->num_fields() - 1));
      codes.push_back(shape.type_codes()[child]);
      offsets.push_back(used[child]++);
    }
    arrow::ArrayVector children;
    for (int i = 0; i < type->num_fields(); ++i) {
      children.push_back(Make(type->field(i)->type(), dense ? used[static_cast<size_t>(i)] : length));
    }
    std::vector<Buffer> buffers = {nullptr, Values(codes)};
    if (dense) buffers.push_back(Values(offsets));
    return Put(type, length, std::move(buffers), children);
  }

  Array MakeDictionary(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const auto& shape = static_cast<const arrow::DictionaryType&>(*type);
    const int64_t words = 1 + Draw(20);
    const bool narrow = shape.index_type()->id() == arrow::Type::INT8;
    std::vector<int8_t> narrow_indices;
    std::vector<uint32_t> wide_indices;
    for (int64_t i = 0; i < length; ++i) {
      const int64_t index = Draw(words - 1);
      narrow_indices.push_back(static_cast<int8_t>(index));
      wide_indices.push_back(static_cast<uint32_t>(index));
    }
    auto data = arrow::ArrayData::Make(
        type, length, {Validity(length), narrow ? Values(narrow_indices) : Values(wide_indices)});
    data->dictionary = Make(shape.value_type(), words)->data();
    return arrow::MakeArray(data);
  }

#if ARROW_VERSION_MAJOR >= 15
  template <class End>
  Array RunEnds(int64_t length, int64_t* runs) {
    std::vector<End> ends;
    for (int64_t end = 0; end < length;) {
      end = std::min(length, end + 1 + Draw(5));
      ends.push_back(static_cast<End>(end));
    }
    *runs = static_cast<int64_t>(ends.size());
    return Put(arrow::CTypeTraits<End>::type_singleton(), *runs, {nullptr, Values(ends)}, {});
  }

  Array MakeRuns(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
    const auto& shape = static_cast<const arrow::RunEndEncodedType&>(*type);
    int64_t runs = 0;
    auto ends = shape.run_end_type()->id() == arrow::Type::INT16 ? RunEnds<int16_t>(length, &runs)
                                                                 : RunEnds<int64_t>(length, &runs);
    return Put(type, length, {nullptr}, {ends, Make(shape.value_type(), runs)});
  }
#endif

  std::string Bytes() {
    std::string bytes(static_cast<size_t>(Draw(30)), 'x');
    for (char& byte : bytes) byte = static_cast<char>('a' + Draw(25));
    return bytes;
  }

  struct LeafVisitor;
  Array MakeLeaf(const std::shared_ptr<arrow::DataType>& type, int64_t length);

  std::mt19937_64 random_;
  arrow::MemoryPool* pool_;
};

// Appends one value to the builder of whichever leaf type.
struct RandomArrays::LeafVisitor {
  RandomArrays* self;
  arrow::ArrayBuilder* builder;

  template <class T>
  arrow::Status Visit(const T& type) {
    using arrow::Type;
    if constexpr (!std::is_base_of_v<arrow::NestedType, T> && !std::is_base_of_v<arrow::ExtensionType, T> &&
                  T::type_id != Type::DICTIONARY) {
      auto* typed = static_cast<typename arrow::TypeTraits<T>::BuilderType*>(builder);
      const int64_t number = self->Draw(1'000'000);
      if constexpr (T::type_id == Type::NA) {
        return typed->AppendNull();
      } else if constexpr (T::type_id == Type::INTERVAL_DAY_TIME) {
        return typed->Append({static_cast<int32_t>(number), 7});
      } else if constexpr (T::type_id == Type::INTERVAL_MONTH_DAY_NANO) {
        return typed->Append({3, static_cast<int32_t>(number), number});
      } else if constexpr (T::type_id == Type::DECIMAL128) {
        return typed->Append(arrow::Decimal128(number, static_cast<uint64_t>(number)));
      } else if constexpr (T::type_id == Type::DECIMAL256) {
        return typed->Append(arrow::Decimal256(number));
#if ARROW_VERSION_MAJOR >= 19
      } else if constexpr (T::type_id == Type::DECIMAL32) {
        return typed->Append(arrow::Decimal32(static_cast<int32_t>(number)));
      } else if constexpr (T::type_id == Type::DECIMAL64) {
        return typed->Append(arrow::Decimal64(number));
#endif
      } else if constexpr (T::type_id == Type::FIXED_SIZE_BINARY) {
        return typed->Append(std::string(static_cast<size_t>(type.byte_width()), 'q'));
      } else if constexpr (T::type_id == Type::HALF_FLOAT) {
        return typed->Append(static_cast<uint16_t>(number % 0x7c00));  // finite
      } else if constexpr (T::type_id == Type::DATE64) {
        return typed->Append(number * 86'400'000);  // whole days
      } else if constexpr (T::type_id == Type::TIME32 || T::type_id == Type::TIME64) {
        return typed->Append(static_cast<typename T::c_type>(number % 86'400));
      } else if constexpr (T::type_id == Type::BOOL) {
        return typed->Append(number % 2 == 0);
      } else if constexpr (arrow::has_c_type<T>::value) {
        return typed->Append(static_cast<typename T::c_type>(number));
      } else {
        return typed->Append(self->Bytes());
      }
    }
    return arrow::Status::TypeError("not a leaf: ", type);
  }
};

inline RandomArrays::Array RandomArrays::MakeLeaf(const std::shared_ptr<arrow::DataType>& type, int64_t length) {
  std::unique_ptr<arrow::ArrayBuilder> builder;
  CHECK_OK(arrow::MakeBuilder(pool_, type, &builder));
  const bool nulls = Draw(2) != 0;
  LeafVisitor visitor{this, builder.get()};
  for (int64_t i = 0; i < length; ++i) {
    CHECK_OK(nulls && Draw(4) == 0 ? builder->AppendNull() : arrow::VisitTypeInline(*type, &visitor));
  }
  return UNWRAP(builder->Finish());
}

}  // namespace test
