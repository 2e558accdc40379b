/* Counting itself: what counting/pure.py does, as fast as it can be done.

   Only what happens on every event is here: find the event's cell, add to it, notice that enough is unsent.
   Everything else (an unknown event, a wrong type, sending) is a call back into Python. counting/pure.py
   says what each of these types is for; both pass the same tests. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

/* Other processes read these words at any time, so each is loaded and stored in one instruction. As long as
   Python has a global lock, adding needs no more than that. Without one, `acked` is read before `total`, which
   is never behind it: a processor that swapped these loads would find a number of unsent counts below 0. */
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
    PyObject *memory;  /* a memoryview, which keeps the words where they are */
    uint64_t *words;
} Cell;

typedef struct {
    PyObject_HEAD
    PyObject *by_id;
    uint64_t sync_at;
    uint64_t version;  /* another one after each `clear`; no two maps ever have the same */
} CellMap;

typedef struct Counting {
    PyObject_HEAD
    CellMap *cells;   /* NULL before the first event of a process; a forked child has none of its parent's */
    CellMap *parents; /* in a forked child: what the parent counts in, kept for its reference only */
    struct Counting *previous, *next;
} Counting;

typedef struct {
    PyObject_HEAD
    Counting *group;
    PyObject *event_id;
    Cell *cell;        /* borrowed from the map of the group, as long as that has this version */
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
        PyErr_SetString(PyExc_ValueError, "three aligned words of 64 bits are needed");
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
        PyErr_SetString(PyExc_TypeError, "a word is an integer");
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

/* Refers to a string and a memoryview only, so the garbage collector need not know it: that would cost
   memory for each event. */
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

/* The first one is 1: a Counter that has found no cell so far has version 0. */
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

/* The only way into the dictionary: whatever is found in it is a cell. */
static PyObject *
CellMap_put(CellMap *self, PyObject *cell)
{
    if (!Py_IS_TYPE(cell, &CellType)) {
        PyErr_SetString(PyExc_TypeError, "a Cell is needed");
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
    self->version = next_version();  /* no Counter uses a cell from now on without finding it */
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

/* The cell of an event, or NULL; with an exception, if the event cannot be looked up. With a global lock the
   cell is borrowed: finding it and adding to it is one step, in which no other thread can clear the map.
   Without one the reference is the caller's, so that a cell which is added to exists; see `let_go`. */
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
let_go(Cell *cell)
{
#ifdef Py_GIL_DISABLED
    Py_XDECREF(cell);
#endif
}

/* ---- Forks ----

   C code that forks runs no hook of Python, so this handler makes a forked child notice: without cells, its
   next event takes the slow way, through Python, which renews everything (see process.py). The handler runs
   with or without Python's lock, therefore the list of all Counting objects has a lock of its own. It is
   taken before the fork, so that the child finds the list whole and the lock in its own hands. */

/* Set while Python itself forks, with hooks of its own. */
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
    PyThreadState *state = _PyThreadState_UncheckedGet();  /* before 3.12 that of any thread, which has the lock */
#endif
    return state != NULL && state->thread_id == PyThread_get_thread_ident() ? state : NULL;
}

/* Does in a forked child what C code that forks has to do and often does not: if another thread was waiting for
   the interpreter's lock, a child that gives the lock back would wait for that thread for ever. Only for a
   thread that has the lock of the only interpreter, while there are other threads. */
static void
let_python_notice(void)
{
    PyThreadState *state = state_of_this_thread();
    if (state == NULL || PyInterpreterState_Next(PyInterpreterState_Head()) != NULL)
        return;
    PyThreadState *first = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(state));
    if (first != state || PyThreadState_Next(first) != NULL)
        PyOS_AfterFork_Child();
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
        let_python_notice();
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

/* In a forked child: puts private memory, all 0, in the place of a mapped file, so that code of the parent which
   is still running here (a signal handler has forked) writes to no file. */
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
    Py_INCREF(cell);  /* what is called may clear the map */
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

/* Whether it is an integer from 1 to LARGEST, and no bool or the like. */
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
        let_go(cell);
        if (PyErr_Occurred())
            return NULL;
        return count_unusual(self, event_id, count);
    }
    PyObject *result = add(self, cells, cell, value);
    let_go(cell);
    return result;
}

/* Arguments other than one or two positional ones. */
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
    Counting *self = (Counting *)type->tp_alloc(type, 0);  /* the arguments are for __init__ */
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
        PyErr_SetString(PyExc_TypeError, "a CellMap is needed");
        return -1;
    }
    Py_INCREF(cells);
    /* Two threads may come here with the first event of a process. `parents` is the first to go, because a fork in
       between would leave the child its parent's cells. */
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
    "A direct group tries to have it confirmed by Redis, for no longer than the configured time-out.\n"
    "In a thread with a running event loop, and in a group with `sync_interval` or `sync_limit`, this\n"
    "only adds to local counters, and the background thread sends them. When Redis is unavailable\n"
    "the count is kept and sent later. An event that is neither declared nor declared automatically\n"
    "is not counted.\n"
    "\n"
    "Args:\n"
    "    event_id: Which event.\n"
    "    count: How many of them; 0 does nothing.\n"
    "\n"
    "Raises:\n"
    "    TypeError: `event_id` is not a string, or `count` not an integer.\n"
    "    ValueError: `count` is negative or over 2^63-1, or `event_id` cannot be an event ID.\n"
    "    OverflowError: More than 2^63-1 would be unsent of this event.");

static PyMethodDef log_method = {
    "log", (PyCFunction)(void (*)(void))Counting_log, METH_FASTCALL | METH_KEYWORDS, log_doc,
};

/* Each subclass has the method as its own, unless it overrides it: Python calls an inherited one only half as fast. */
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
    /* Here threads would have to agree on what is remembered. */
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
        let_go(cell);
        if (PyErr_Occurred())
            return NULL;
        return count_unusual(self->group, self->event_id, count);
    }
    PyObject *result = add(self->group, cells, cell, value);
    let_go(cell);
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
    static int is_registered = 0;  /* a sub-interpreter fills a module of its own */
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
    {"expect_fork", expect_fork, METH_NOARGS, PyDoc_STR("Python is about to fork.")},
    {"detach", detach, METH_O, PyDoc_STR("Replace mapped memory by private memory.")},
    {NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#if PY_VERSION_HEX >= 0x030C0000
    /* They import counting/pure.py. */
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
    .m_doc = "See counting/pure.py.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
