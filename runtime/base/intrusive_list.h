// A doubly linked list whose links live in the elements: no allocation, O(1) removal from anywhere, and an
// element can tell whether it is linked. The list owns nothing; an element unlinks before it is destroyed.
//
//   struct Waiter : ListNode<Waiter> { ... };
//   List<Waiter, Waiter> waiters;
//   waiters.PushBack(w);  if (w.linked()) w.Unlink();
//
// The tag names the list: an element that is in several at once derives from ListNode with a tag for each.
#ifndef RUNTIME_BASE_INTRUSIVE_LIST_H_
#define RUNTIME_BASE_INTRUSIVE_LIST_H_

#include "runtime/base/check.h"

namespace weir::runtime {

template <typename Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { WEIR_DCHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }

  // What Unlink() writes, for a list whose elements are far apart in memory.
  void PrefetchLinks() const {
    __builtin_prefetch(next_, /*rw=*/1);
    __builtin_prefetch(prev_, /*rw=*/1);
  }

  void Unlink() {
    next_->prev_ = prev_;
    prev_->next_ = next_;
    next_ = prev_ = nullptr;
  }

 private:
  template <typename T, typename U>
  friend class List;

  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

template <typename T, typename Tag>
class List {
 public:
  using Node = ListNode<Tag>;

  List() { head_.next_ = head_.prev_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    WEIR_DCHECK(empty());
    head_.next_ = head_.prev_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() { return *static_cast<T*>(head_.next_); }
  T& back() { return *static_cast<T*>(head_.prev_); }

  void PushBack(T& element) { InsertBefore(head_, element); }
  void PushFront(T& element) { InsertBefore(*head_.next_, element); }

  T* PopFront() {
    if (empty()) return nullptr;
    T& element = front();
    static_cast<Node&>(element).Unlink();
    return &element;
  }

  // Moves all elements of `other` to the end of this list.
  void Splice(List& other) {
    if (other.empty()) return;
    other.head_.next_->prev_ = head_.prev_;
    head_.prev_->next_ = other.head_.next_;
    other.head_.prev_->next_ = &head_;
    head_.prev_ = other.head_.prev_;
    other.head_.next_ = other.head_.prev_ = &other.head_;
  }

  // Calls `fn(T&)` on each element; `fn` may unlink the element it is given, and no other.
  template <typename Fn>
  void ForEach(Fn&& fn) {
    for (Node* node = head_.next_; node != &head_;) {
      Node* next = node->next_;
      fn(*static_cast<T*>(node));
      node = next;
    }
  }

 private:
  static void InsertBefore(Node& at, T& element) {
    Node& node = element;
    WEIR_DCHECK(!node.linked());
    node.next_ = &at;
    node.prev_ = at.prev_;
    at.prev_->next_ = &node;
    at.prev_ = &node;
  }

  Node head_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_INTRUSIVE_LIST_H_
