;; What a module does with malloc, calloc, realloc and free: a list of numbers, and an array of
;; them. A node of the list is 8 bytes: the address of the next node, 0 at the end, and the number.
(module
  (import "env" "memory" (memory 1))
  (import "env" "malloc" (func $malloc (param i32) (result i32)))
  (import "env" "calloc" (func $calloc (param i32 i32) (result i32)))
  (import "env" "realloc" (func $realloc (param i32 i32) (result i32)))
  (import "env" "free" (func $free (param i32)))

  ;; The list 1, 2, ... n; 0, with nothing left behind, when there is no memory.
  (func (export "build") (param $n i32) (result i32)
    (local $head i32)
    (local $node i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $node (call $malloc (i32.const 8)))
        (if (i32.eqz (local.get $node))
          (then
            (drop (call $drop (local.get $head)))
            (return (i32.const 0))))
        (i32.store (local.get $node) (local.get $head))
        (i32.store offset=4 (local.get $node) (local.get $n))
        (local.set $head (local.get $node))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))
    (local.get $head))

  ;; The same nodes in the opposite order.
  (func (export "reverse") (param $list i32) (result i32)
    (local $reversed i32)
    (local $next i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $list)))
        (local.set $next (i32.load (local.get $list)))
        (i32.store (local.get $list) (local.get $reversed))
        (local.set $reversed (local.get $list))
        (local.set $list (local.get $next))
        (br $more)))
    (local.get $reversed))

  ;; The first number.
  (func (export "first") (param $list i32) (result i32)
    (i32.load offset=4 (local.get $list)))

  ;; The sum of the numbers.
  (func (export "sum") (param $list i32) (result f64)
    (local $sum f64)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $list)))
        (local.set $sum
          (f64.add (local.get $sum) (f64.convert_i32_u (i32.load offset=4 (local.get $list)))))
        (local.set $list (i32.load (local.get $list)))
        (br $more)))
    (local.get $sum))

  ;; An array of the numbers, 0 behind the last one. It doubles when it is full. 0 when there is no
  ;; memory.
  (func (export "toArray") (param $list i32) (result i32)
    (local $array i32)
    (local $larger i32)
    (local $length i32)
    (local $room i32)
    (local.set $room (i32.const 4))
    (local.set $array (call $calloc (local.get $room) (i32.const 4)))
    (if (i32.eqz (local.get $array)) (then (return (i32.const 0))))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $list)))
        (i32.store
          (i32.add (local.get $array) (i32.shl (local.get $length) (i32.const 2)))
          (i32.load offset=4 (local.get $list)))
        (local.set $length (i32.add (local.get $length) (i32.const 1)))
        (if (i32.eq (local.get $length) (local.get $room))
          (then
            (local.set $room (i32.shl (local.get $room) (i32.const 1)))
            (local.set $larger
              (call $realloc (local.get $array) (i32.shl (local.get $room) (i32.const 2))))
            (if (i32.eqz (local.get $larger))
              (then
                (call $free (local.get $array))
                (return (i32.const 0))))
            (local.set $array (local.get $larger))))
        (local.set $list (i32.load (local.get $list)))
        (br $more)))
    (i32.store
      (i32.add (local.get $array) (i32.shl (local.get $length) (i32.const 2)))
      (i32.const 0))
    (local.get $array))

  ;; Frees the list; returns how many nodes it had.
  (func $drop (export "drop") (param $list i32) (result i32)
    (local $next i32)
    (local $count i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $list)))
        (local.set $next (i32.load (local.get $list)))
        (call $free (local.get $list))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (local.set $list (local.get $next))
        (br $more)))
    (local.get $count)))
