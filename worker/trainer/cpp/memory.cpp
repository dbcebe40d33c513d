// Host memory for tensors, in blocks that fit into the holes that blocks of the same size leave.
//
// libtorch asks for aligned blocks with posix_memalign. glibc before 2.38 looks for a block of size
// plus alignment then, so a hole that a tensor left never takes the next tensor of its size. Where
// freed memory is kept, these holes add up: to a sixth of a training at batch 4096. Here every
// block is a plain malloc of a little more, aligned by hand.

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <cstdint>
#include <cstdlib>

namespace swath {
namespace {

// The alignment that the fastest loads and stores need, and that libtorch promises.
constexpr size_t kAlignment = 64;

// Before each block of memory lies the pointer that malloc gave.
void** origin(void* block) { return static_cast<void**>(block) - 1; }

void release(void* block) {
  if (block != nullptr) std::free(*origin(block));
}

struct PlainAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    const size_t more = kAlignment + sizeof(void*);
    void* given = bytes > SIZE_MAX - more ? nullptr : std::malloc(bytes + more);
    TORCH_CHECK(given != nullptr, "not enough memory: you tried to allocate ", bytes, " bytes");
    const auto least = reinterpret_cast<uintptr_t>(given) + sizeof(void*);
    void* block = reinterpret_cast<void*>((least + kAlignment - 1) / kAlignment * kAlignment);
    *origin(block) = given;
    return {block, block, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }
};

// Never destroyed: tensors may outlive every static object.
PlainAllocator* const plain = new PlainAllocator;

// Priority over libtorch's own allocator, before the first tensor: libtorch may give a block back
// to another allocator than it took it from, if the allocator changes in between.
const bool installed = [] {
  c10::SetCPUAllocator(plain, 1);
  return true;
}();

}  // namespace
}  // namespace swath

// Whether tensors are allocated here. Calling this links the file, which makes it so.
extern "C" bool swath_plain_memory() {
  return swath::installed && c10::GetCPUAllocator() == swath::plain;
}
