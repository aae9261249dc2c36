// The intrusive list and the fixed ring, each against the standard library's deque.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/base/fixed_ring.h"
#include "runtime/base/intrusive_list.h"
#include "tests/support/random.h"

namespace weir::runtime {
namespace {

struct ItemTag;
struct OtherTag;
struct Item : ListNode<ItemTag>, ListNode<OtherTag> {
  explicit Item(int id) : id(id) {}
  int id;
};

TEST(List, RandomOperationsAgreeWithADeque) {
  testing::Random random;
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 64; ++i) items.push_back(std::make_unique<Item>(i));
  List<Item, ItemTag> list;
  List<Item, OtherTag> other;  // an element may be in both
  std::deque<int> model;
  for (auto& item : items) other.PushFront(*item);
  for (int step = 0; step < 20'000; ++step) {
    Item& item = *items[random.Below(items.size())];
    ListNode<ItemTag>& node = item;
    const bool linked = std::find(model.begin(), model.end(), item.id) != model.end();
    ASSERT_EQ(node.linked(), linked);
    switch (random.Below(4)) {
      case 0:
        if (linked) break;
        list.PushBack(item);
        model.push_back(item.id);
        break;
      case 1:
        if (linked) break;
        list.PushFront(item);
        model.push_front(item.id);
        break;
      case 2:
        if (!linked) break;
        node.Unlink();
        std::erase(model, item.id);
        break;
      case 3:
        if (Item* front = list.PopFront()) {
          ASSERT_EQ(front->id, model.front());
          model.pop_front();
        } else {
          ASSERT_TRUE(model.empty());
        }
    }
    ASSERT_EQ(list.empty(), model.empty());
    std::vector<int> seen;
    list.ForEach([&](Item& i) { seen.push_back(i.id); });
    ASSERT_TRUE(std::equal(seen.begin(), seen.end(), model.begin(), model.end()));
  }
  while (list.PopFront() != nullptr) {
  }
  int count = 0;
  other.ForEach([&](Item& i) { ++count, static_cast<ListNode<OtherTag>&>(i).Unlink(); });
  EXPECT_EQ(count, 64);
}

TEST(List, SpliceMovesAllToTheEnd) {
  Item a(1), b(2), c(3), d(4);
  List<Item, ItemTag> first, second, empty;
  first.PushBack(a), first.PushBack(b);
  second.PushBack(c), second.PushBack(d);
  first.Splice(second);
  first.Splice(empty);
  EXPECT_TRUE(second.empty());
  for (int id = 1; id <= 4; ++id) EXPECT_EQ(first.PopFront()->id, id);
  EXPECT_EQ(first.PopFront(), nullptr);
}

TEST(FixedRing, RandomOperationsAgreeWithADeque) {
  testing::Random random;
  FixedRing<std::unique_ptr<int>> ring(10);
  EXPECT_EQ(ring.capacity(), 16u);
  std::deque<int> model;
  for (int step = 0; step < 20'000; ++step) {
    if (random.OneIn(2)) {
      const bool pushed = ring.Push(std::make_unique<int>(step));
      ASSERT_EQ(pushed, model.size() < 16);
      if (pushed) model.push_back(step);
    } else if (!ring.empty()) {
      ASSERT_EQ(*ring.Front(), model.front());
      const size_t at = random.Below(model.size());
      ASSERT_EQ(*ring.At(at), model[at]);
      ASSERT_EQ(*ring.Pop(), model.front());
      model.pop_front();
    }
    ASSERT_EQ(ring.size(), model.size());
    ASSERT_EQ(ring.full(), model.size() == 16);
  }
}

}  // namespace
}  // namespace weir::runtime
