/* A fast implementation of counting/pure.py, which documents the types. Both pass the same tests.

   This file holds only what happens on every event:

     1. find the cell of the event
     2. add the count to the cell
     3. compare the number of unsent counts with the limit

   Everything else (an unknown event, a wrong type, sending) calls back into Python. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

/* Other processes may read the words of a cell at any time, so each word is loaded and stored in one instruction.
   With the GIL, adding needs nothing more. Without it, `acked` is loaded before `total`, which is never smaller.
   LOAD then has acquire order: if the processor swapped these loads, the number of unsent counts could be below 0. */
#ifdef Py_GIL_DISABLED
#define LOAD(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
#else
#define LOAD(word) __atomic_load_n(word, __ATOMIC_RELAXED)
#endif
#define STORE(word, value) __atomic_store_n(word, value, __ATOMIC_RELEASE)

static const uint64_t LARGEST = INT64_MAX;

enum { TOTAL, PENDING, ACKED, N_WORDS };

typedef struct {
    PyObject_HEAD
    PyObject *event_id;
    PyObject *memory;  /* a memoryview; as long as it lives, the words stay mapped */
    uint64_t *words;
} Cell;

typedef struct {
    PyObject_HEAD
    PyObject *by_id;
    uint64_t sync_at;
    uint64_t version;  /* unique among all maps; changes with each `clear` */
} CellMap;

typedef struct Counting {
    PyObject_HEAD
    CellMap *cells;   /* NULL until the first event of this process, also in a forked child */
    CellMap *parents; /* in a forked child: the cells of the parent, kept to hold the reference */
    struct Counting *previous, *next;
} Counting;

typedef struct {
    PyObject_HEAD
    Counting *group;
    PyObject *event_id;
    Cell *cell;        /* borrowed from the group's map; valid while the map has this version */
    uint64_t version;
} Counter;

static PyTypeObject CellType, CellMapType, CountingType, CounterType;

/* ---- Cell ---- */

static PyObject *
Cell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"event_id", "words", "at", NULL};
    PyObject *event_id, *memory;
    Py_ssize_t at;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UO!n:Cell", names,
                                     &event_id, &PyMemoryView_Type, &memory, &at))
        return NULL;

    Py_buffer buffer;
    if (PyObject_GetBuffer(memory, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    uint64_t *words = buffer.buf;
    Py_ssize_t n_words = buffer.itemsize == sizeof(uint64_t) ? buffer.len / buffer.itemsize : 0;
    PyBuffer_Release(&buffer);
    if (at < 0 || at > n_words - N_WORDS || (uintptr_t)words % sizeof(uint64_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "Cell needs a memoryview of 3 aligned 64-bit words");
        return NULL;
    }

    Cell *self = (Cell *)type->tp_alloc(type, 0);
    if (self != NULL) {
        Py_INCREF(event_id);
        self->event_id = event_id;
        Py_INCREF(memory);
        self->memory = memory;
        self->words = words + at;
    }
    return (PyObject *)self;
}

static void
Cell_dealloc(Cell *self)
{
    Py_XDECREF(self->event_id);
    Py_XDECREF(self->memory);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
Cell_get_word(Cell *self, void *which)
{
    return PyLong_FromUnsignedLongLong(LOAD(&self->words[(uintptr_t)which]));
}

static int
Cell_set_word(Cell *self, PyObject *value, void *which)
{
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a word of a Cell must be an integer");
        return -1;
    }
    uint64_t word = PyLong_AsUnsignedLongLong(value);
    if (word == UINT64_MAX && PyErr_Occurred())
        return -1;
    STORE(&self->words[(uintptr_t)which], word);
    return 0;
}

static PyGetSetDef Cell_getset[] = {
    {"total", (getter)Cell_get_word, (setter)Cell_set_word, NULL, (void *)TOTAL},
    {"pending", (getter)Cell_get_word, (setter)Cell_set_word, NULL, (void *)PENDING},
    {"acked", (getter)Cell_get_word, (setter)Cell_set_word, NULL, (void *)ACKED},
    {NULL},
};

static PyMemberDef Cell_members[] = {
    {"event_id", T_OBJECT_EX, offsetof(Cell, event_id), READONLY, NULL},
    {NULL},
};

/* Has no Py_TPFLAGS_HAVE_GC, which would cost memory per event. A cell refers to a string and a memoryview only, so
   it is in no reference cycle. */
static PyTypeObject CellType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "event_count_logger._native.Cell",
    .tp_basicsize = sizeof(Cell),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Cell_new,
    .tp_dealloc = (destructor)Cell_dealloc,
    .tp_getset = Cell_getset,
    .tp_members = Cell_members,
};

/* ---- CellMap ---- */

/* The first version is 1. A Counter that has not found a cell has version 0. */
static uint64_t
next_version(void)
{
    static uint64_t version = 0;
    return __atomic_add_fetch(&version, 1, __ATOMIC_RELAXED);
}

static PyObject *
CellMap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    CellMap *self = (CellMap *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->sync_at = LARGEST + 1;
    self->version = next_version();
    self->by_id = PyDict_New();
    if (self->by_id == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
CellMap_traverse(CellMap *self, visitproc visit, void *arg)
{
    Py_VISIT(self->by_id);
    return 0;
}

static void
CellMap_dealloc(CellMap *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->by_id);
    Py_TYPE(self)->tp_free(self);
}

/* The only function that inserts into the dictionary, so every value in it is a Cell. */
static PyObject *
CellMap_put(CellMap *self, PyObject *cell)
{
    if (!Py_IS_TYPE(cell, &CellType)) {
        PyErr_SetString(PyExc_TypeError, "put() takes a Cell");
        return NULL;
    }
    PyObject *found;
#if PY_VERSION_HEX >= 0x030D0000
    PyDict_SetDefaultRef(self->by_id, ((Cell *)cell)->event_id, cell, &found);
#else
    found = PyDict_SetDefault(self->by_id, ((Cell *)cell)->event_id, cell);
    Py_XINCREF(found);
#endif
    return found;
}

static PyObject *
CellMap_clear_cells(CellMap *self, PyObject *unused)
{
    self->version = next_version();  /* makes each Counter look up its cell again */
    PyDict_Clear(self->by_id);
    Py_RETURN_NONE;
}

static PyObject *
CellMap_get_by_id(CellMap *self, void *closure)
{
    return PyDictProxy_New(self->by_id);
}

static PyMethodDef CellMap_methods[] = {
    {"put", (PyCFunction)CellMap_put, METH_O, NULL},
    {"clear", (PyCFunction)CellMap_clear_cells, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef CellMap_getset[] = {
    {"by_id", (getter)CellMap_get_by_id, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef CellMap_members[] = {
    {"sync_at", T_ULONGLONG, offsetof(CellMap, sync_at), 0, NULL},
    {NULL},
};

static PyTypeObject CellMapType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "event_count_logger._native.CellMap",
    .tp_basicsize = sizeof(CellMap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = CellMap_new,
    .tp_dealloc = (destructor)CellMap_dealloc,
    .tp_traverse = (traverseproc)CellMap_traverse,
    .tp_methods = CellMap_methods,
    .tp_getset = CellMap_getset,
    .tp_members = CellMap_members,
};

/* Returns the cell of an event, or NULL; with an exception set if the lookup failed.

   With the GIL the reference is borrowed: no other thread can clear the map before the caller has added to the cell.
   Without the GIL the reference is new, and the caller releases it. */
static Cell *
find(CellMap *cells, PyObject *event_id)
{
    if (cells == NULL)
        return NULL;
#ifdef Py_GIL_DISABLED
    PyObject *cell;
    if (PyDict_GetItemRef(cells->by_id, event_id, &cell) <= 0)
        return NULL;
    return (Cell *)cell;
#else
    return (Cell *)PyDict_GetItemWithError(cells->by_id, event_id);
#endif
}

static inline void
release(Cell *cell)
{
#ifdef Py_GIL_DISABLED
    Py_XDECREF(cell);
#endif
}

/* ---- Forks ----

   C code that forks does not run Python's fork hooks. Therefore pthread_atfork handlers of this module set `cells` of
   each group to NULL in the child. The next event of the child then calls Python, which renews everything (see
   process.py).

     before_fork           lock the list of all Counting objects
     after_fork_in_parent  unlock it
     after_fork_in_child   move `cells` to `parents`, unlock the list, run Python's hooks if C code has forked

   The handlers run with or without the GIL, so the list has a lock of its own. Because it is taken before the fork, the
   child finds the list complete, and can unlock it. */

/* 1 while Python itself forks, and runs its hooks. */
static int python_forks = 0;

static PyObject *
expect_fork(PyObject *module, PyObject *unused)
{
    python_forks = 1;
    Py_RETURN_NONE;
}

static PyThreadState *
state_of_this_thread(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyThreadState *state = PyThreadState_GetUnchecked();
#else
    PyThreadState *state = _PyThreadState_UncheckedGet();  /* before 3.12: of the thread that holds the GIL */
#endif
    return state != NULL && state->thread_id == PyThread_get_thread_ident() ? state : NULL;
}

#if PY_VERSION_HEX >= 0x030D0000
/* Functions of the module _imp. */
static PyObject *lock_held = NULL, *acquire_lock = NULL;

static int
find_import_lock(void)
{
    PyObject *imp = PyImport_ImportModule("_imp");
    if (imp == NULL)
        return -1;
    Py_XSETREF(lock_held, PyObject_GetAttrString(imp, "lock_held"));
    Py_XSETREF(acquire_lock, PyObject_GetAttrString(imp, "acquire_lock"));
    Py_DECREF(imp);
    return lock_held == NULL || acquire_lock == NULL ? -1 : 0;
}

/* Acquires the import lock, as Python does before it forks: since 3.13, PyOS_AfterFork_Child releases it, and aborts
   if it is not locked. If another thread held it during the fork, PyOS_AfterFork_Child gives it to this thread. */
static void
hold_import_lock(void)
{
    PyObject *held = PyObject_CallNoArgs(lock_held);
    if (held == Py_False)
        Py_XDECREF(PyObject_CallNoArgs(acquire_lock));
    Py_XDECREF(held);
}
#else
static int find_import_lock(void) { return 0; }
static void hold_import_lock(void) {}
#endif

/* Calls PyOS_AfterFork_Child in a forked child, which C code that forks must do, and often does not. Without the
   call, a child that releases the GIL may wait for ever for a thread of its parent that was waiting for the GIL.
   The call is made only if this thread holds the GIL, there is one interpreter, and it has other threads. */
static void
run_fork_hooks(void)
{
    PyThreadState *state = state_of_this_thread();
    if (state == NULL || PyInterpreterState_Next(PyInterpreterState_Head()) != NULL)
        return;
    PyThreadState *first = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(state));
    if (first != state || PyThreadState_Next(first) != NULL) {
        hold_import_lock();
        PyOS_AfterFork_Child();
    }
}

static Counting all = {.previous = &all, .next = &all};
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

static void
before_fork(void)
{
    pthread_mutex_lock(&all_lock);
}

static void
after_fork_in_parent(void)
{
    python_forks = 0;
    pthread_mutex_unlock(&all_lock);
}

static void
after_fork_in_child(void)
{
    for (Counting *each = all.next; each != &all; each = each->next) {
        if (each->parents == NULL) {
            each->parents = each->cells;
            each->cells = NULL;
        }
    }
    pthread_mutex_unlock(&all_lock);
    if (!python_forks)
        run_fork_hooks();
    python_forks = 0;
}

static void
insert(Counting *self)
{
    pthread_mutex_lock(&all_lock);
    self->previous = &all;
    self->next = all.next;
    all.next->previous = self;
    all.next = self;
    pthread_mutex_unlock(&all_lock);
}

static void
take_out(Counting *self)
{
    pthread_mutex_lock(&all_lock);
    self->previous->next = self->next;
    self->next->previous = self->previous;
    pthread_mutex_unlock(&all_lock);
}

/* Replaces a mapped file by private memory, all 0, in a forked child. If a signal handler has forked, code of the
   parent still runs in the child; it must not write to the parent's file. */
static PyObject *
detach(PyObject *module, PyObject *mapping)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(mapping, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    void *found = buffer.len == 0 ? NULL
        : mmap(buffer.buf, (size_t)buffer.len, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    PyBuffer_Release(&buffer);
    if (found == MAP_FAILED)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* ---- Counting ---- */

static PyObject *
count_unusual(Counting *self, PyObject *event_id, PyObject *count)
{
    if (count == NULL)
        return PyObject_CallMethod((PyObject *)self, "_log_unusual", "Oi", event_id, 1);
    return PyObject_CallMethod((PyObject *)self, "_log_unusual", "OO", event_id, count);
}

static PyObject *
count_reached(Counting *self, Cell *cell, uint64_t total, uint64_t unsent)
{
    PyObject *result;
    Py_INCREF(cell);  /* the call may clear the map, which holds the cell */
    if (unsent > LARGEST)
        result = PyErr_Format(PyExc_OverflowError, "more than 2^63-1 counts of event %R would be unsent",
                              cell->event_id);
    else
        result = PyObject_CallMethod((PyObject *)self, "_send", "OK", cell, (unsigned long long)total);
    Py_DECREF(cell);
    return result;
}

static inline PyObject *
add(Counting *self, CellMap *cells, Cell *cell, uint64_t count)
{
    uint64_t *words = cell->words;
    uint64_t acked = LOAD(&words[ACKED]);
#ifdef Py_GIL_DISABLED
    uint64_t total = LOAD(&words[TOTAL]), next;
    do
        next = total + count;
    while (next - acked <= LARGEST
           && !__atomic_compare_exchange_n(&words[TOTAL], &total, next, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
#else
    uint64_t next = LOAD(&words[TOTAL]) + count;
    if (next - acked <= LARGEST)
        STORE(&words[TOTAL], next);
#endif
    if (next - acked >= cells->sync_at)
        return count_reached(self, cell, next, next - acked);
    Py_RETURN_NONE;
}

/* Returns 1 if the count is an int, not a subclass such as bool, from 1 to LARGEST. */
static inline int
is_usual(PyObject *count, uint64_t *value)
{
    if (!PyLong_CheckExact(count))
        return 0;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(count, &overflow);
    *value = (uint64_t)number;
    return number > 0 && !overflow;
}

static PyObject *
log_event(Counting *self, PyObject *event_id, PyObject *count)
{
    CellMap *cells = self->cells;
    Cell *cell = PyUnicode_CheckExact(event_id) ? find(cells, event_id) : NULL;
    uint64_t value = 1;
    if (cell == NULL || (count != NULL && !is_usual(count, &value))) {
        release(cell);
        if (PyErr_Occurred())
            return NULL;
        return count_unusual(self, event_id, count);
    }
    PyObject *result = add(self, cells, cell, value);
    release(cell);
    return result;
}

/* Handles all arguments but one or two positional ones. */
static PyObject *
log_by_name(Counting *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    PyObject *values[] = {n_args > 0 ? args[0] : NULL, n_args > 1 ? args[1] : NULL};
    static const char *const known[] = {"event_id", "count"};
    Py_ssize_t n_names = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (n_args > 2)
        return PyErr_Format(PyExc_TypeError, "log() takes event_id and count, but %zd arguments were given",
                            n_args + n_names);
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = 0;
        while (which < 2 && PyUnicode_CompareWithASCIIString(name, known[which]) != 0)
            which++;
        if (which == 2)
            return PyErr_Format(PyExc_TypeError, "log() got an unexpected keyword argument '%U'", name);
        if (values[which] != NULL)
            return PyErr_Format(PyExc_TypeError, "log() got multiple values for argument '%U'", name);
        values[which] = args[n_args + i];
    }
    if (values[0] == NULL)
        return PyErr_Format(PyExc_TypeError, "log() missing 1 required positional argument: 'event_id'");
    return log_event(self, values[0], values[1]);
}

static PyObject *
Counting_log(Counting *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    if (names == NULL && n_args == 1)
        return log_event(self, args[0], NULL);
    if (names == NULL && n_args == 2)
        return log_event(self, args[0], args[1]);
    return log_by_name(self, args, n_args, names);
}

static PyObject *
Counting_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Counting *self = (Counting *)type->tp_alloc(type, 0);  /* __init__ takes the arguments */
    if (self != NULL)
        insert(self);
    return (PyObject *)self;
}

static int
Counting_traverse(Counting *self, visitproc visit, void *arg)
{
    Py_VISIT(self->cells);
    Py_VISIT(self->parents);
    return 0;
}

static int
Counting_clear(Counting *self)
{
    Py_CLEAR(self->cells);
    Py_CLEAR(self->parents);
    return 0;
}

static void
Counting_dealloc(Counting *self)
{
    PyObject_GC_UnTrack(self);
    take_out(self);
    Counting_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
Counting_get_cells(Counting *self, void *closure)
{
    PyObject *cells = self->cells == NULL ? Py_None : (PyObject *)self->cells;
    Py_INCREF(cells);
    return cells;
}

static int
Counting_set_cells(Counting *self, PyObject *cells, void *closure)
{
    if (cells == NULL || !PyObject_TypeCheck(cells, &CellMapType)) {
        PyErr_SetString(PyExc_TypeError, "cells must be a CellMap");
        return -1;
    }
    Py_INCREF(cells);
    /* Exchanges are atomic, because two threads may log the first event of a process at the same time. `parents`
       is cleared first: after a fork between the two exchanges, the handler moves `cells` to `parents` only if that
       is NULL. In the other order the child would keep its parent's cells. */
    CellMap *parents = __atomic_exchange_n(&self->parents, NULL, __ATOMIC_ACQ_REL);
    CellMap *before = __atomic_exchange_n(&self->cells, (CellMap *)cells, __ATOMIC_ACQ_REL);
    Py_XDECREF(parents);
    Py_XDECREF(before);
    return 0;
}

static PyGetSetDef Counting_getset[] = {
    {"cells", (getter)Counting_get_cells, (setter)Counting_set_cells, NULL, NULL},
    {NULL},
};

PyDoc_STRVAR(log_doc,
    "log($self, /, event_id, count=1)\n--\n\n"
    "Count an event.\n"
    "\n"
    "A direct group waits until Redis confirms the count, for no longer than the configured time-out.\n"
    "In a thread with a running event loop, and in a group with `sync_interval` or `sync_limit`, this\n"
    "only adds to local counters. The background thread sends them. While Redis is unavailable, counts\n"
    "are kept and sent later. An event that is neither declared nor declared automatically is not\n"
    "counted.\n"
    "\n"
    "Args:\n"
    "    event_id: ID of the event.\n"
    "    count: Number of events; 0 does nothing.\n"
    "\n"
    "Raises:\n"
    "    TypeError: `event_id` is not a string, or `count` not an integer.\n"
    "    ValueError: `count` is negative or over 2^63-1, or `event_id` cannot be an event ID.\n"
    "    OverflowError: More than 2^63-1 would be unsent of this event.");

static PyMethodDef log_method = {
    "log", (PyCFunction)(void (*)(void))Counting_log, METH_FASTCALL | METH_KEYWORDS, log_doc,
};

/* Adds `log` to each subclass that does not override it. Python calls an inherited method at half the speed. */
static PyObject *
Counting_init_subclass(PyTypeObject *subclass, PyObject *args, PyObject *kwargs)
{
    if (PyDict_GetItemString(subclass->tp_dict, "log") != NULL)
        Py_RETURN_NONE;
    PyObject *log = PyDescr_NewMethod(subclass, &log_method);
    if (log == NULL || PyObject_SetAttrString((PyObject *)subclass, "log", log) < 0) {
        Py_XDECREF(log);
        return NULL;
    }
    Py_DECREF(log);
    Py_RETURN_NONE;
}

static PyMethodDef Counting_methods[] = {
    {"__init_subclass__", (PyCFunction)(void (*)(void))Counting_init_subclass,
     METH_CLASS | METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL},
};

static PyTypeObject CountingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "event_count_logger._native.Counting",
    .tp_basicsize = sizeof(Counting),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = Counting_new,
    .tp_dealloc = (destructor)Counting_dealloc,
    .tp_traverse = (traverseproc)Counting_traverse,
    .tp_clear = (inquiry)Counting_clear,
    .tp_methods = Counting_methods,
    .tp_getset = Counting_getset,
};

/* ---- Counter ---- */

static PyObject *
Counter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"group", "event_id", NULL};
    PyObject *group, *event_id;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!U:Counter", names, &CountingType, &group, &event_id))
        return NULL;
    Counter *self = (Counter *)type->tp_alloc(type, 0);
    if (self != NULL) {
        Py_INCREF(group);
        self->group = (Counting *)group;
        Py_INCREF(event_id);
        self->event_id = event_id;
    }
    return (PyObject *)self;
}

static int
Counter_traverse(Counter *self, visitproc visit, void *arg)
{
    Py_VISIT(self->group);
    return 0;
}

static int
Counter_clear(Counter *self)
{
    Py_CLEAR(self->group);
    return 0;
}

static void
Counter_dealloc(Counter *self)
{
    PyObject_GC_UnTrack(self);
    Counter_clear(self);
    Py_XDECREF(self->event_id);
    Py_TYPE(self)->tp_free(self);
}

static inline Cell *
cell_of(Counter *self, CellMap *cells)
{
#ifndef Py_GIL_DISABLED
    if (cells == NULL)
        return NULL;
    if (self->version == cells->version)
        return self->cell;
    Cell *cell = find(cells, self->event_id);
    if (cell != NULL) {
        self->cell = cell;
        self->version = cells->version;
    }
    return cell;
#else
    /* Looks up the cell each time: without the GIL, threads would have to synchronize a cached one. */
    return find(cells, self->event_id);
#endif
}

static PyObject *
Counter_inc(Counter *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    PyObject *count = n_args > 0 ? args[0] : NULL;
    Py_ssize_t n_names = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (n_args + n_names > 1)
        return PyErr_Format(PyExc_TypeError, "inc() takes n, but %zd arguments were given", n_args + n_names);
    if (n_names == 1) {
        PyObject *name = PyTuple_GET_ITEM(names, 0);
        if (PyUnicode_CompareWithASCIIString(name, "n") != 0)
            return PyErr_Format(PyExc_TypeError, "inc() got an unexpected keyword argument '%U'", name);
        count = args[0];
    }
    CellMap *cells = self->group->cells;
    Cell *cell = cell_of(self, cells);
    uint64_t value = 1;
    if (cell == NULL || (count != NULL && !is_usual(count, &value))) {
        release(cell);
        if (PyErr_Occurred())
            return NULL;
        return count_unusual(self->group, self->event_id, count);
    }
    PyObject *result = add(self->group, cells, cell, value);
    release(cell);
    return result;
}

PyDoc_STRVAR(inc_doc, "inc($self, /, n=1)\n--\n\nCount the event `n` times; otherwise as `EventGroup.log`.");

static PyMethodDef Counter_methods[] = {
    {"inc", (PyCFunction)(void (*)(void))Counter_inc, METH_FASTCALL | METH_KEYWORDS, inc_doc},
    {NULL},
};

static PyTypeObject CounterType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "event_count_logger._native.Counter",
    .tp_doc = PyDoc_STR("One event of a group, for loops: finds its cell once."),
    .tp_basicsize = sizeof(Counter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Counter_new,
    .tp_dealloc = (destructor)Counter_dealloc,
    .tp_traverse = (traverseproc)Counter_traverse,
    .tp_clear = (inquiry)Counter_clear,
    .tp_methods = Counter_methods,
};

/* ---- The module ---- */

static int
fill(PyObject *module)
{
    if (find_import_lock() < 0)
        return -1;
    static int is_registered = 0;  /* each sub-interpreter calls this for a module of its own */
    if (!is_registered && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
        PyErr_SetString(PyExc_ImportError, "pthread_atfork failed");
        return -1;
    }
    is_registered = 1;
    if (PyModule_AddType(module, &CellType) < 0 || PyModule_AddType(module, &CellMapType) < 0
        || PyModule_AddType(module, &CountingType) < 0 || PyModule_AddType(module, &CounterType) < 0)
        return -1;
    return 0;
}

static PyMethodDef functions[] = {
    {"expect_fork", expect_fork, METH_NOARGS, PyDoc_STR("Record that Python itself is about to fork.")},
    {"detach", detach, METH_O, PyDoc_STR("Replace mapped memory by private memory, all 0, in a forked child.")},
    {NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#if PY_VERSION_HEX >= 0x030C0000
    /* Sub-interpreters import counting/pure.py instead. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "event_count_logger._native",
    .m_doc = "A fast implementation of counting/pure.py.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
