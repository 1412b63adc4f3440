#!/usr/bin/env python3
"""bench_meta.py - side by side benchmark of CNI meta plugins (thin binaries, or shim + daemon).

Needs: root, Linux with veth/bridge/macvlan, cc (builds its own small static launcher), kubectl,
an admin kubeconfig of a running kube-apiserver on loopback, a directory of CNI plugin binaries.

  bench_meta.py setup  --kubeconfig ADMIN                  # CRD, namespace, service account, NADs (idempotent)
  bench_meta.py meta   --name NAME --bin META_PLUGIN --conf TEMPLATE --cni-path DIR --kubeconfig ADMIN
                       [--daemon 'CMD WITH @..@' --daemon-conf TEMPLATE [--daemon-ready SOCKET] [--daemon-env K=V ...]]
                       [--render TEMPLATE=PATH ...] [--in-cluster]
                       [--kinds macvlan,bridge] [--counts 0,1,2,4,8,16] [--iters 30] [--pace SEC]
                       [--parallel 1,4,16,64] [--par-pods 128] [--par-attach 2]
                       [--watch apiserver=PID --watch etcd=PID] [--json OUT]
  bench_meta.py plugins --cni-path DIR [--iters 40] [--json OUT]  # single reference plugins, no API server
  bench_meta.py exec  --iters 200 [BIN...]                        # floor: fork/exec/exit of a binary, no arguments
  bench_meta.py floor                                     # floor: raw netlink in one process, no exec, no IPAM
  bench_meta.py apifloor                                  # floor: TLS + GET + PATCH on a warm connection (after one meta run)
  bench_meta.py clean                                             # what a broken run left behind

`cargo xtask bench` runs it in a network namespace of its own; BENCH_OUTER_NETNS then names the machine's, because the
kernel tells of ended processes (taskstats) only there. Floors write what they measured to --json too.

Every subcommand takes --quiet SEC (wait for an idle machine before each batch) and --retries N (repeat a batch in
which others used > 10 % of the machine; the share is printed as "foreign"). BENCH_DIR = scratch directory.

Placeholders in --conf, --daemon, --daemon-conf: @KUBECONFIG@ (token kubeconfig of a cluster-admin service
account), @CNI@ (plugin directory), @STATE@ (fresh state directory), @RUN@ (socket directory), @DEFAULT@ (JSON of
the cluster default network: bridge + host-local), @BIN@ (directory of the meta plugin), @CONF@ (rendered
--daemon-conf file). A daemon that wants in-cluster settings gets KUBERNETES_SERVICE_HOST/PORT in its environment
and, with --in-cluster, token and ca.crt in the usual service account directory (removed at the end).

What is measured: each ADD/DEL is one exec from a static launcher of < 1 MiB. wall = exec until reaped, by
CLOCK_MONOTONIC. cpu = rusage of the process and all its waited-for descendants, plus, with a daemon, the CPU of
the daemon's cpuacct cgroup (descendants included) divided by the number of calls (pace: --pace, so that what a daemon
does after it has answered is counted too; the idle CPU of the daemon over the same pauses is subtracted). rss =
per process peak (taskstats hiwater) in a separate pass. api = difference of the apiserver's request counters for
pods, network-attachment-definitions and events. Medians unless said otherwise. Every pod has its own fresh netns.
"""
import argparse, collections, json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

W = os.environ.get("BENCH_DIR") or os.path.join(tempfile.gettempdir(), "bench_meta")
NS = "cnibench"
LAUNCH_C = r'''// cnilaunch: tiny static launcher, so that wall, CPU and max RSS are those of the measured process only.
//  cnilaunch run JOBS RESULTS PARALLEL     job line: id \t bin \t stdin \t outprefix \t K=V \t K=V ...
//  cnilaunch mkns PREFIX FROM TO | rmns PREFIX FROM TO      netns as bind mounts in /run/netns
//  cnilaunch taskstats SECONDS             per process exit records: comm pid ppid hiwater_rss_kb cpu_us
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

struct job { char *id, *bin, *in, *out; char **env; pid_t pid; int64_t t0; };

static int run(char *jobs, char *results, int par) {
  FILE *f = fopen(jobs, "r"), *r = fopen(results, "w");
  if (!f || !r) { perror("open"); return 1; }
  struct job *js = 0; int n = 0, cap = 0; char *line = 0; size_t sz = 0; ssize_t l;
  while ((l = getline(&line, &sz, f)) > 0) {
    if (line[l - 1] == '\n') line[l - 1] = 0;
    if (n == cap) { cap = cap ? cap * 2 : 256; js = realloc(js, cap * sizeof *js); }
    char *s = strdup(line), *p; struct job *j = &js[n++]; memset(j, 0, sizeof *j);
    j->id = strsep(&s, "\t"); j->bin = strsep(&s, "\t"); j->in = strsep(&s, "\t"); j->out = strsep(&s, "\t");
    j->env = calloc(64, sizeof(char *)); int e = 0;
    while ((p = strsep(&s, "\t")) && e < 63) j->env[e++] = p;
  }
  int next = 0, live = 0;
  char pb[4096];
  while (next < n || live) {
    while (next < n && live < par) {
      struct job *j = &js[next++];
      int in = open(j->in, O_RDONLY | O_CLOEXEC);
      snprintf(pb, sizeof pb, "%s.out", j->out); int out = open(pb, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      snprintf(pb, sizeof pb, "%s.err", j->out); int err = open(pb, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      char *av[] = {j->bin, 0};
      j->t0 = now();
      pid_t pid = vfork();
      if (pid == 0) { dup2(in, 0); dup2(out, 1); dup2(err, 2); execve(j->bin, av, j->env); _exit(127); }
      j->pid = pid; live++;
      close(in); close(out); close(err);
    }
    int st; struct rusage u; pid_t p = wait4(-1, &st, 0, &u); int64_t t1 = now();
    if (p < 0) { if (errno == EINTR) continue; break; }
    for (int i = 0; i < n; i++) if (js[i].pid == p) {
      fprintf(r, "%s\t%lld\t%lld\t%lld\t%lld\t%ld\t%d\t%ld\t%ld\n", js[i].id, (long long)js[i].t0, (long long)(t1 - js[i].t0),
        (long long)(u.ru_utime.tv_sec * 1000000LL + u.ru_utime.tv_usec), (long long)(u.ru_stime.tv_sec * 1000000LL + u.ru_stime.tv_usec),
        u.ru_maxrss, WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st), u.ru_minflt, u.ru_nvcsw + u.ru_nivcsw);
      js[i].pid = 0; live--; break;
    }
  }
  fclose(r); return 0;
}

static int mkns(char *pre, int a, int b) {
  char p[256]; mkdir("/run/netns", 0755);
  for (int i = a; i < b; i++) {
    snprintf(p, sizeof p, "/run/netns/%s%d", pre, i);
    int fd = open(p, O_RDONLY | O_CREAT | O_EXCL, 0); if (fd < 0) { perror(p); return 1; } close(fd);
    if (unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", p, "none", MS_BIND, 0)) { perror(p); return 1; }
  }
  return 0;
}
static int rmns(char *pre, int a, int b) {
  char p[256];
  for (int i = a; i < b; i++) { snprintf(p, sizeof p, "/run/netns/%s%d", pre, i); umount2(p, MNT_DETACH); unlink(p); }
  return 0;
}

struct req { struct nlmsghdr n; struct genlmsghdr g; char buf[512]; };
static int gsend(int fd, int type, int cmd, int attr, void *d, int len) {
  struct req r; memset(&r, 0, sizeof r);
  r.n.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN); r.n.nlmsg_type = type; r.n.nlmsg_flags = NLM_F_REQUEST; r.g.cmd = cmd; r.g.version = 1;
  struct nlattr *a = (void *)((char *)&r + NLMSG_ALIGN(r.n.nlmsg_len)); a->nla_type = attr; a->nla_len = NLA_HDRLEN + len;
  memcpy((char *)a + NLA_HDRLEN, d, len); r.n.nlmsg_len += NLA_ALIGN(a->nla_len);
  return send(fd, &r, r.n.nlmsg_len, 0);
}
static int tstats(int secs) {
  char *outer = getenv("BENCH_OUTER_NETNS");
  if (outer) { int o = open(outer, O_RDONLY | O_CLOEXEC); if (o < 0 || setns(o, CLONE_NEWNET)) { perror(outer); return 1; } close(o); }
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC); struct sockaddr_nl sa = {.nl_family = AF_NETLINK}; bind(fd, (void *)&sa, sizeof sa);
  int big = 32 << 20; setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
  gsend(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, TASKSTATS_GENL_NAME, sizeof TASKSTATS_GENL_NAME);
  static char buf[65536]; int n = recv(fd, buf, sizeof buf, 0); int fam = 0;
  struct nlmsghdr *h = (void *)buf;
  for (struct nlattr *a = (void *)(buf + NLMSG_LENGTH(GENL_HDRLEN)); (char *)a < buf + h->nlmsg_len; a = (void *)((char *)a + NLA_ALIGN(a->nla_len)))
    if (a->nla_type == CTRL_ATTR_FAMILY_ID) fam = *(uint16_t *)((char *)a + NLA_HDRLEN);
  char mask[32]; snprintf(mask, sizeof mask, "0-%ld", sysconf(_SC_NPROCESSORS_ONLN) - 1);
  gsend(fd, fam, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, mask, strlen(mask) + 1);
  struct timeval tv = {0, 200000}; setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  printf("ready\n"); fflush(stdout);
  int64_t end = now() + secs * 1000000000LL;
  while (now() < end) {
    n = recv(fd, buf, sizeof buf, 0); if (n <= 0) continue;
    h = (void *)buf; if (h->nlmsg_type != fam) continue;
    for (struct nlattr *a = (void *)(buf + NLMSG_LENGTH(GENL_HDRLEN)); (char *)a < buf + h->nlmsg_len; a = (void *)((char *)a + NLA_ALIGN(a->nla_len))) {
      int t = a->nla_type & NLA_TYPE_MASK; if (t != TASKSTATS_TYPE_AGGR_PID) continue;
      for (struct nlattr *b = (void *)((char *)a + NLA_HDRLEN); (char *)b < (char *)a + a->nla_len; b = (void *)((char *)b + NLA_ALIGN(b->nla_len)))
        if (b->nla_type == TASKSTATS_TYPE_STATS) {
          struct taskstats s; memset(&s, 0, sizeof s); int l = b->nla_len - NLA_HDRLEN; memcpy(&s, (char *)b + NLA_HDRLEN, l < (int)sizeof s ? l : (int)sizeof s);
          printf("%s\t%u\t%u\t%llu\t%llu\n", s.ac_comm, s.ac_tgid ? s.ac_tgid : s.ac_pid, s.ac_ppid, (unsigned long long)s.hiwater_rss, (unsigned long long)(s.ac_utime + s.ac_stime));
        }
    }
    fflush(stdout);
  }
  return 0;
}
int main(int c, char **v) {
  if (c == 5 && !strcmp(v[1], "run")) return run(v[2], v[3], atoi(v[4]));
  if (c == 5 && !strcmp(v[1], "mkns")) return mkns(v[2], atoi(v[3]), atoi(v[4]));
  if (c == 5 && !strcmp(v[1], "rmns")) return rmns(v[2], atoi(v[3]), atoi(v[4]));
  if (c == 3 && !strcmp(v[1], "taskstats")) return tstats(atoi(v[2]));
  return 2;
}
'''

FLOOR_C = r'''// floor: raw rtnetlink cost of one attachment, no exec, no libraries.
//  floor macvlan|bridge PARENT NSPREFIX FROM TO ATTACH [group]
// per attachment ADD: macvlan = 1 newlink (created in the target netns, right name) + addr + up
//                     bridge  = 1 newlink veth pair (peer in target netns) with master, host end up + addr + up
// DEL: dellink per attachment, or one group dellink for all ("group")
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>
#include <poll.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static double cpu(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
struct msg { struct nlmsghdr n; char b[2048]; };
static void *put(struct msg *m, int t, const void *d, int l) {
  struct rtattr *a = (void *)((char *)m + NLMSG_ALIGN(m->n.nlmsg_len)); a->rta_type = t; a->rta_len = RTA_LENGTH(l);
  if (l) memcpy(RTA_DATA(a), d, l); m->n.nlmsg_len = NLMSG_ALIGN(m->n.nlmsg_len) + RTA_ALIGN(a->rta_len); return a; }
static void endn(struct msg *m, void *a) { ((struct rtattr *)a)->rta_len = (char *)m + m->n.nlmsg_len - (char *)a; }
static int seq;
static void init(struct msg *m, int type, int flags, int bodylen) { memset(m, 0, sizeof *m); m->n.nlmsg_type = type; m->n.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags; m->n.nlmsg_len = NLMSG_LENGTH(bodylen); m->n.nlmsg_seq = ++seq; }
static int call(int fd, struct msg *m, const char *w) {
  char b[8192]; if (send(fd, m, m->n.nlmsg_len, 0) < 0) { perror("send"); return -1; }
  int n = recv(fd, b, sizeof b, 0); if (n < 0) { perror("recv"); return -1; }
  struct nlmsghdr *h = (void *)b; if (h->nlmsg_type == NLMSG_ERROR) { int e = *(int *)NLMSG_DATA(h); if (e) fprintf(stderr, "%s: %s\n", w, strerror(-e)); return e; } return 0; }
static int nl(void) { int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); struct sockaddr_nl s = {.nl_family = AF_NETLINK}; bind(fd, (void *)&s, sizeof s); return fd; }
static char nspath[256]; static int gi; static double tdone[64], tnote[64];
static void *deller(void *x) { long a = (long)x; int ns = open(nspath, O_RDONLY | O_CLOEXEC); setns(ns, CLONE_NEWNET); int fd = nl(); struct msg m; char nm[16]; snprintf(nm, sizeof nm, "net%ld", a + 1);
  init(&m, RTM_DELLINK, 0, sizeof(struct ifinfomsg)); put(&m, IFLA_IFNAME, nm, strlen(nm) + 1); call(fd, &m, "dellink"); tdone[a] = now(); close(fd); close(ns); return 0; }
static int cmp(const void *a, const void *b) { double x = *(double *)a - *(double *)b; return x < 0 ? -1 : x > 0; }
static double med(double *v, int n) { qsort(v, n, sizeof *v, cmp); return n ? v[n / 2] : 0; }
int main(int c, char **v) {
  if (c < 7) return 2;
  int mac = !strcmp(v[1], "macvlan"), parent = if_nametoindex(v[2]), from = atoi(v[4]), to = atoi(v[5]), att = atoi(v[6]), grp = c > 7;
  static double wa[10000], wd[10000], ca[10000], cd[10000], l1[100000], l2[100000], l3[100000], l4[100000]; int k = 0, q = 0, q4 = 0;
  int self = open("/proc/self/ns/net", O_RDONLY), host = nl(); struct msg m;
  for (int i = from; i < to; i++) {
    char p[256]; snprintf(p, sizeof p, "/run/netns/%s%d", v[3], i);
    double t0 = now(), c0 = cpu();
    int ns = open(p, O_RDONLY | O_CLOEXEC); if (ns < 0 || setns(ns, CLONE_NEWNET)) { perror(p); return 1; }
    int in = nl(); setns(self, CLONE_NEWNET);
    for (int a = 0; a < att; a++) {
      char nm[16], hn[16]; snprintf(nm, sizeof nm, "net%d", a + 1); snprintf(hn, sizeof hn, "fl%d_%d", i, a);
      uint32_t g = 7000 + i; double s0 = now();
      init(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
      if (mac) {
        ((struct ifinfomsg *)NLMSG_DATA(&m.n))->ifi_flags = 0;
        put(&m, IFLA_IFNAME, nm, strlen(nm) + 1); put(&m, IFLA_LINK, &parent, 4); put(&m, IFLA_NET_NS_FD, &ns, 4); put(&m, IFLA_GROUP, &g, 4);
        void *li = put(&m, IFLA_LINKINFO, 0, 0); put(&m, IFLA_INFO_KIND, "macvlan", 7); void *da = put(&m, IFLA_INFO_DATA, 0, 0);
        uint32_t mode = MACVLAN_MODE_BRIDGE; put(&m, IFLA_MACVLAN_MODE, &mode, 4); endn(&m, da); endn(&m, li);
      } else {
        struct ifinfomsg *ii = NLMSG_DATA(&m.n); ii->ifi_flags = ii->ifi_change = IFF_UP;
        put(&m, IFLA_IFNAME, hn, strlen(hn) + 1); put(&m, IFLA_MASTER, &parent, 4); put(&m, IFLA_GROUP, &g, 4);
        void *li = put(&m, IFLA_LINKINFO, 0, 0); put(&m, IFLA_INFO_KIND, "veth", 4); void *da = put(&m, IFLA_INFO_DATA, 0, 0);
        struct ifinfomsg zi = {0}; void *pe = put(&m, VETH_INFO_PEER, &zi, sizeof zi); put(&m, IFLA_IFNAME, nm, strlen(nm) + 1); put(&m, IFLA_NET_NS_FD, &ns, 4); endn(&m, pe); endn(&m, da); endn(&m, li);
      }
      if (call(host, &m, "newlink")) return 1;
      double s1 = now(); l1[q] = s1 - s0;
      // index of the new link in the target netns
      init(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg)); m.n.nlmsg_flags = NLM_F_REQUEST; put(&m, IFLA_IFNAME, nm, strlen(nm) + 1);
      char b[8192]; send(in, &m, m.n.nlmsg_len, 0); int n = recv(in, b, sizeof b, 0); if (n <= 0) return 1; int idx = ((struct ifinfomsg *)NLMSG_DATA((struct nlmsghdr *)b))->ifi_index;
      init(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifaddrmsg));
      struct ifaddrmsg *ia = NLMSG_DATA(&m.n); ia->ifa_family = AF_INET; ia->ifa_prefixlen = 16; ia->ifa_index = idx;
      uint32_t ip = htonl(0x0a000000 | (200 - a) << 16 | (i & 0xffff) + 2); put(&m, IFA_LOCAL, &ip, 4); put(&m, IFA_ADDRESS, &ip, 4);
      if (call(in, &m, "newaddr")) return 1;
      double s2 = now(); l2[q] = s2 - s1;
      init(&m, RTM_NEWLINK, 0, sizeof(struct ifinfomsg)); struct ifinfomsg *ii = NLMSG_DATA(&m.n); ii->ifi_index = idx; ii->ifi_flags = ii->ifi_change = IFF_UP;
      if (call(in, &m, "up")) return 1;
      l3[q++] = now() - s2;
    }
    wa[k] = now() - t0; ca[k] = cpu() - c0; t0 = now(); c0 = cpu();
    if (grp && !strcmp(v[7], "threads")) { strcpy(nspath, p);
      setns(ns, CLONE_NEWNET); int mon = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK}; bind(mon, (void *)&sa, sizeof sa); setns(self, CLONE_NEWNET);
      pthread_t th[64]; for (long a = 0; a < att; a++) pthread_create(&th[a], 0, deller, (void *)a);
      int seen = 0; char b[65536]; while (seen < att) { int n = recv(mon, b, sizeof b, 0); if (n <= 0) break; for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) if (h->nlmsg_type == RTM_DELLINK) seen++; }
      l3[q4] = now() - t0; for (int a = 0; a < att; a++) pthread_join(th[a], 0); l4[q4++] = now() - t0; close(mon); }
    else if (grp) { uint32_t g = 7000 + i; double s0 = now(); init(&m, RTM_DELLINK, 0, sizeof(struct ifinfomsg)); put(&m, IFLA_GROUP, &g, 4); if (call(mac ? in : host, &m, "delgroup")) return 1; l4[q4++] = now() - s0; }
    else for (int a = 0; a < att; a++) { char nm[16]; snprintf(nm, sizeof nm, "net%d", a + 1); double s0 = now();
      init(&m, RTM_DELLINK, 0, sizeof(struct ifinfomsg)); put(&m, IFLA_IFNAME, nm, strlen(nm) + 1); if (call(in, &m, "dellink")) return 1; l4[q4++] = now() - s0; }
    wd[k] = now() - t0; cd[k++] = cpu() - c0; close(in); close(ns);
  }
  if (grp && !strcmp(v[7], "threads")) { printf("%s attach=%d threads: all RTM_DELLINK notifications after %.0f us, all calls returned after %.0f us\n", v[1], att, med(l3, q4), med(l4, q4)); return 0; }
  printf("%s attach=%d n=%d ADD wall %.0f us cpu %.0f us (newlink %.0f addr %.0f up %.0f)  DEL%s wall %.0f us cpu %.0f us (dellink %.0f)\n", v[1], att, k, med(wa, k), med(ca, k), med(l1, q), med(l2, q), med(l3, q), grp ? "(group)" : "", med(wd, k), med(cd, k), med(l4, q4));
  return 0;
}
'''

def sh(*a, inp=None, check=True):
    p = subprocess.run(list(a), input=inp, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if check and p.returncode: raise SystemExit("%s: %s" % (" ".join(a)[:200], p.stderr[-2000:]))
    return p.stdout

def launcher():
    b = W + "/cnilaunch"; os.makedirs(W, exist_ok=True)
    if not os.path.exists(b) or os.path.getmtime(b) < os.path.getmtime(os.path.abspath(__file__)):
        open(b + ".c", "w").write(LAUNCH_C); sh("cc", "-O2", "-static", "-o", b, b + ".c")
    return b

def cpustat():
    v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]; return sum(v), v[3] + v[4] + v[1]  # niced work counts as idle: it yields
QUIET = 0; NOISY = []
def wait_quiet():
    """wait (at most QUIET seconds) for a second in which the machine is > 85 % idle"""
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        a = cpustat(); time.sleep(1); b = cpustat()
        if (b[1] - a[1]) / max(1, b[0] - a[0]) > 0.85: return
class Foreign:
    """share of the machine that processes other than the measured ones used"""
    def __enter__(self): wait_quiet(); self.a = cpustat(); self.own0 = time.process_time() + sum(os.times()[2:4]); return self
    def __exit__(self, *x): self.b = cpustat(); self.own = time.process_time() + sum(os.times()[2:4]) - self.own0
    def share(self, own_s=0.0): t, i = self.b[0] - self.a[0], self.b[1] - self.a[1]; return max(0.0, (t - i) / os.sysconf("SC_CLK_TCK") - self.own - own_s) / max(1e-9, t / os.sysconf("SC_CLK_TCK"))

med = lambda v: statistics.median(v) if v else 0.0
def pct(v, p): v = sorted(v); return v[min(len(v) - 1, int(len(v) * p))] if v else 0.0

CG = "/sys/fs/cgroup/cpuacct/cnibench"
def cg_ok():
    try: os.makedirs(CG, exist_ok=True); return True
    except OSError: return False
def cg_cpu():  # ns
    try: return int(open(CG + "/cpuacct.usage").read())
    except OSError: return 0
def pid_cpu(pid):  # ns, all threads, dead ones too, no children
    try: return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError: return 0
def status(pid, key):
    try: return int(re.search(r"%s:\s+(\d+)" % key, open("/proc/%d/status" % pid).read()).group(1))
    except Exception: return 0

class Jobs:
    """one batch for the launcher; all jobs of a batch run with the given parallelism"""
    seq = 0
    def __init__(self): self.l = []; Jobs.seq += 1; self.d = "%s/jobs/%d" % (W, Jobs.seq); os.makedirs(self.d, exist_ok=True)
    def add(self, jid, binary, conf, env):
        f = "%s/%s.in" % (self.d, jid); open(f, "w").write(conf if isinstance(conf, str) else json.dumps(conf))
        self.l.append("\t".join([jid, binary, f, "%s/%s" % (self.d, jid)] + ["%s=%s" % kv for kv in env.items()]))
    def run(self, par=1):
        open(self.d + "/jobs", "w").write("".join(x + "\n" for x in self.l)); t = time.monotonic()
        sh(launcher(), "run", self.d + "/jobs", self.d + "/res", str(par)); self.wall = time.monotonic() - t
        r = {}
        for x in open(self.d + "/res"):
            i, t0, w, u, s, rss, st, flt, csw = x.split("\t")
            r[i] = dict(t0=int(t0), wall=int(w) / 1e6, cpu=(int(u) + int(s)) / 1e3, rss=int(rss), rc=int(st), flt=int(flt), csw=int(csw), out="%s/%s.out" % (self.d, i), err="%s/%s.err" % (self.d, i))
        return r
def out(r): return open(r["out"]).read()
def errtext(r): return (open(r["out"]).read() + " | " + open(r["err"]).read()).strip()[-400:]

def cnienv(cmd, cid, ns, ifn, path, args=""):
    e = dict(CNI_COMMAND=cmd, CNI_CONTAINERID=cid, CNI_NETNS="/run/netns/" + ns, CNI_IFNAME=ifn, CNI_PATH=path, PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    if args: e["CNI_ARGS"] = args
    return e

def host_up():
    sh("ip", "link", "del", "cbm0", check=False)
    sh("ip", "link", "add", "cbm0", "type", "veth", "peer", "name", "cbm1"); sh("ip", "link", "set", "cbm0", "up"); sh("ip", "link", "set", "cbm1", "up")
def host_down():
    for l in json.loads(sh("ip", "-j", "link") or "[]"):
        if re.match(r"cbm0|cbr|cbdef|cbp", l["ifname"]): sh("ip", "link", "del", l["ifname"], check=False)
    n = [x for x in os.listdir("/run/netns") if x.startswith("cb")] if os.path.isdir("/run/netns") else []
    for x in n: sh("ip", "netns", "del", x, check=False)
def mkns(n, pre="cb-"): sh(launcher(), "mkns", pre, "0", str(n))
def rmns(n, pre="cb-"): sh(launcher(), "rmns", pre, "0", str(n)); time.sleep(0.3 + n * 0.01)

V = "1.0.0"
def ipam(i, state, pre="10.%d.0.0/16"): return dict(type="host-local", ranges=[[dict(subnet=pre % i)]], dataDir=state + "/ipam")
def conf_bridge(name, br, i, state): return dict(cniVersion=V, name=name, type="bridge", bridge=br, isGateway=False, ipam=ipam(i, state))
def conf_macvlan(name, i, state): return dict(cniVersion=V, name=name, type="macvlan", master="cbm0", mode="bridge", ipam=ipam(i, state))

# ---------------------------------------------------------------- single plugins
def do_plugins(a):
    C = os.path.abspath(a.cni_path); host_up(); shutil.rmtree(W + "/jobs", ignore_errors=True); st = W + "/state-plugins"; shutil.rmtree(st, ignore_errors=True); os.makedirs(st)
    n = a.iters; res = []
    stat = dict(type="static", addresses=[dict(address="10.99.0.2/24", gateway="10.99.0.1")])
    base = conf_bridge("pb", "cbr9", 99, st)
    cases = [
        ("loopback", "loopback", dict(cniVersion=V, name="lo", type="loopback"), None),
        ("host-local alone", "host-local", dict(cniVersion=V, name="hl", type="bridge", ipam=ipam(90, st)), None),
        ("static alone", "static", dict(cniVersion=V, name="st", type="bridge", ipam=stat), None),
        ("bridge, no IPAM", "bridge", dict(cniVersion=V, name="b0", type="bridge", bridge="cbr1", ipam={}), None),
        ("bridge + host-local", "bridge", conf_bridge("b1", "cbr2", 91, st), None),
        ("macvlan, no IPAM", "macvlan", dict(cniVersion=V, name="m0", type="macvlan", master="cbm0", mode="bridge", ipam={}), None),
        ("macvlan + host-local", "macvlan", conf_macvlan("m1", 92, st), None),
        ("macvlan + static", "macvlan", dict(conf_macvlan("m2", 92, st), ipam=stat), None),
        ("ptp + static", "ptp", dict(cniVersion=V, name="p0", type="ptp", ipam=stat), None),
        ("ptp + host-local", "ptp", dict(cniVersion=V, name="p1", type="ptp", ipam=ipam(93, st)), None),
        ("tuning (1 sysctl, mtu)", "tuning", dict(cniVersion=V, name="t", type="tuning", mtu=1400, sysctl={"net.ipv4.conf.IFNAME.arp_filter": "1"}, dataDir=st + "/tuning"), base),
        ("portmap (iptables, 1 port)", "portmap", dict(cniVersion=V, name="pm", type="portmap", backend="iptables", snat=True), base),
        ("portmap (nftables, 1 port)", "portmap", dict(cniVersion=V, name="pn", type="portmap", backend="nftables", snat=True), base),
        ("bandwidth (in + out)", "bandwidth", dict(cniVersion=V, name="bw", type="bandwidth", ingressRate=100000000, ingressBurst=10000000, egressRate=100000000, egressBurst=10000000), base),
        ("sbr", "sbr", dict(cniVersion=V, name="sbr", type="sbr"), base),
    ]
    if a.only: cases = [c for c in cases if re.search(a.only, c[0])]
    for title, typ, conf, chain in cases:
        if not os.path.exists(C + "/" + typ): continue
        mkns(n); prev = {}
        if chain:
            j = Jobs()
            for i in range(n): j.add("c%d" % i, C + "/" + chain["type"], chain, cnienv("ADD", "cid%d" % i, "cb-%d" % i, "eth0", C))
            prev = {i: json.loads(out(r)) for i, r in ((int(k[1:]), r) for k, r in j.run().items()) if r["rc"] == 0}
        def mk(cmd, extra={}):
            j = Jobs()
            for i in range(n):
                c = dict(conf)
                if chain: c["prevResult"] = prev[i]
                if typ == "portmap": c["runtimeConfig"] = dict(portMappings=[dict(hostPort=20000 + i, containerPort=80, protocol="tcp")])
                j.add("%s%d" % (cmd, i), C + "/" + typ, c, cnienv(cmd, "cid%d" % i, "cb-%d" % i, "lo" if typ == "loopback" else "eth0", C))
            return j
        best = None
        for attempt in range(a.retries + 1):
            with Foreign() as fg: ra = mk("ADD").run(); rd = mk("DEL").run()
            if best is None or fg.share() < best[0]: best = (fg.share(), ra, rd)
            if fg.share() < 0.10: break
        fshare, ra, rd = best
        # second pass with taskstats for the processes that take part and their peak RSS
        rss = peak_rss(lambda: (mk("ADD").run(), None)[1], {x[:15] for x in os.listdir(C)} | {"iptables", "ip6tables", "nft"}); mk("DEL").run()
        if chain:
            j = Jobs()
            for i in range(n): j.add("d%d" % i, C + "/" + chain["type"], chain, cnienv("DEL", "cid%d" % i, "cb-%d" % i, "eth0", C))
            j.run()
        rmns(n)
        A = list(ra.values()); D = list(rd.values()); bad = [r for r in A + D if r["rc"]]
        e = dict(case=title, foreign=fshare, add_wall=med([r["wall"] for r in A]), add_p95=pct([r["wall"] for r in A], .95), add_cpu=med([r["cpu"] for r in A]), del_wall=med([r["wall"] for r in D]), del_cpu=med([r["cpu"] for r in D]),
                 procs={k: dict(per_add=v[0] / n, rss_mib=v[1] / 1024) for k, v in rss.items()}, size=os.path.getsize(C + "/" + typ), fails=len(bad), err=errtext(bad[0]) if bad else "")
        res.append(e)
        print("%-28s ADD %6.2f ms (p95 %6.2f) cpu %6.2f | DEL %6.2f ms cpu %6.2f | %5.1f MiB bin | fails %d | foreign %.0f%% | %s %s" % (title, e["add_wall"], e["add_p95"], e["add_cpu"], e["del_wall"], e["del_cpu"], e["size"] / 2**20, e["fails"], e["foreign"] * 100,
              ", ".join("%s x%.0f %.1f MiB" % (k, v["per_add"], v["rss_mib"]) for k, v in e["procs"].items()), e["err"][:150]), flush=True)
    host_down()
    if a.json: json.dump(res, open(a.json, "w"), indent=1)

def peak_rss(fn, only=(), ignore=("cnilaunch",)):
    """run fn under a taskstats listener; {comm: [processes, peak KiB]} of all processes that ended meanwhile"""
    p = subprocess.Popen([launcher(), "taskstats", "600"], stdout=subprocess.PIPE, text=True); p.stdout.readline()
    import threading
    lines = []; th = threading.Thread(target=lambda: lines.extend(p.stdout), daemon=True); th.start()
    fn(); time.sleep(0.5); p.terminate(); p.wait(); th.join(2)
    seen = {}
    for l in lines:
        f = l.rstrip("\n").split("\t")
        if len(f) == 5 and f[0] not in ignore: k = (f[0], f[1]); seen[k] = max(seen.get(k, 0), int(f[3]))
    r = {}
    # a Go process may end under a thread's name: group by pid first, name of the largest
    for (c, pid), m in seen.items():
        if only and c not in only: continue
        x = r.setdefault(c, [0, 0]); x[0] += 1; x[1] = max(x[1], m)
    return r

def nothing():
    """a static program that does nothing"""
    b = W + "/nothing"; os.makedirs(W, exist_ok=True); open(b + ".c", "w").write("int main(void) { return 0; }\n"); sh("cc", "-O2", "-static", "-o", b, b + ".c"); return b

def do_exec(a):
    res = []
    for b in a.bins or [nothing()]:
        wait_quiet(); j = Jobs()
        for i in range(a.iters): j.add("e%d" % i, os.path.abspath(b), "", dict(PATH="/usr/bin:/bin"))
        r = list(j.run().values()); e = dict(name=os.path.basename(b), wall=med([x["wall"] for x in r]), p95=pct([x["wall"] for x in r], .95), cpu=med([x["cpu"] for x in r])); res.append(e)
        print("%-24s wall %.3f ms (p95 %.3f) cpu %.3f ms rss %.1f MiB minflt %d size %.2f MiB rc %s" % (e["name"], e["wall"], e["p95"], e["cpu"], med([x["rss"] for x in r]) / 1024, med([x["flt"] for x in r]), os.path.getsize(b) / 2**20, sorted({x["rc"] for x in r})), flush=True)
    if a.json: json.dump(res, open(a.json, "w"), indent=1)

def do_floor(a):
    """raw rtnetlink: N attachments of a pod made and removed by one process without exec (see FLOOR_C)"""
    b = W + "/floor"; open(b + ".c", "w").write(FLOOR_C); sh("cc", "-O2", "-static", "-w", "-pthread", "-o", b, b + ".c")
    host_up(); sh("ip", "link", "add", "cbr0", "type", "bridge"); sh("ip", "link", "set", "cbr0", "up"); res = []
    try:
        for kind, parent in (("macvlan", "cbm0"), ("bridge", "cbr0")):
            for n in a.counts.split(","):
                if n == "0": continue
                for mode in ("", "group", "threads"):
                    mkns(a.iters, "cb-f"); wait_quiet(); t = sh(b, kind, parent, "cb-f", "0", str(a.iters), n, *([mode] if mode else [])).strip(); print(t, flush=True); rmns(a.iters, "cb-f")
                    num = lambda x: (lambda m: float(m.group(1)) / 1e3 if m else None)(re.search(x, t))  # us -> ms
                    res.append(dict(kind=kind, attach=int(n), mode=mode or "one by one", add=num(r"ADD wall (\d+)"), dele=num(r"all calls returned after (\d+)") if mode == "threads" else num(r"DEL\S* wall (\d+)")))
    finally: host_down()
    if a.json: json.dump(res, open(a.json, "w"), indent=1)

# ---------------------------------------------------------------- API
class Api:
    def __init__(self, kc): self.kc = kc
    def k(self, *a, **kw): return sh("kubectl", "--kubeconfig", self.kc, *a, **kw)
    def apply(self, objs):
        t = self.k("create", "-o", "json", "-f", "-", inp=json.dumps(dict(apiVersion="v1", kind="List", items=objs))); r = []; i = 0; d = json.JSONDecoder()
        while t[i:].strip():
            while t[i].isspace(): i += 1
            o, i = d.raw_decode(t, i); r += o["items"] if o["kind"] == "List" else [o]
        return r
    def counters(self):
        r = collections.Counter()
        for l in self.k("get", "--raw", "/metrics").splitlines():
            if l.startswith("apiserver_request_total{"):
                d = dict(re.findall(r'(\w+)="([^"]*)"', l)); v = float(l.rsplit(" ", 1)[1])
                if d.get("resource") in ("pods", "network-attachment-definitions", "events"):
                    nm = d["verb"] + " " + {"network-attachment-definitions": "nad", "pods": "pod", "events": "event"}[d["resource"]] + ("/" + d["subresource"] if d.get("subresource") else "")
                    if d["code"][0] != "2": nm += " " + d["code"]
                    r[nm] += v
        return r

CRD = dict(apiVersion="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", metadata=dict(name="network-attachment-definitions.k8s.cni.cncf.io"), spec=dict(group="k8s.cni.cncf.io", scope="Namespaced",
    names=dict(plural="network-attachment-definitions", singular="network-attachment-definition", kind="NetworkAttachmentDefinition", shortNames=["net-attach-def"]),
    versions=[dict(name="v1", served=True, storage=True, schema=dict(openAPIV3Schema=dict(type="object", properties=dict(apiVersion=dict(type="string"), kind=dict(type="string"), metadata=dict(type="object"), spec=dict(type="object", properties=dict(config=dict(type="string")))))))]))

def do_setup(a):
    api = Api(a.kubeconfig)
    def ensure(o):
        p = subprocess.run(["kubectl", "--kubeconfig", a.kubeconfig, "apply", "-f", "-"], input=json.dumps(o), text=True, capture_output=True)
        if p.returncode: raise SystemExit(p.stderr)
    if subprocess.run(["kubectl", "--kubeconfig", a.kubeconfig, "get", "crd", CRD["metadata"]["name"]], capture_output=True).returncode: ensure(CRD)
    ensure(dict(apiVersion="v1", kind="Namespace", metadata=dict(name=NS)))
    for s in ("default", "meta"): ensure(dict(apiVersion="v1", kind="ServiceAccount", metadata=dict(name=s, namespace=NS)))
    ensure(dict(apiVersion="rbac.authorization.k8s.io/v1", kind="ClusterRoleBinding", metadata=dict(name="cnibench"), roleRef=dict(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="cluster-admin"), subjects=[dict(kind="ServiceAccount", name="meta", namespace=NS)]))
    for i in range(50):
        if subprocess.run(["kubectl", "--kubeconfig", a.kubeconfig, "get", "net-attach-def", "-A"], capture_output=True).returncode == 0: break
        time.sleep(0.2)
    st = W + "/state-meta"
    for i in range(16):
        for kind, c in (("mv", conf_macvlan("mv%d" % i, 100 + i, st)), ("br", conf_bridge("br%d" % i, "cbr%d" % i, 120 + i, st))):
            ensure(dict(apiVersion="k8s.cni.cncf.io/v1", kind="NetworkAttachmentDefinition", metadata=dict(name="%s%d" % (kind, i), namespace=NS), spec=dict(config=json.dumps(c))))
    print("setup done")

def pod(name, nets):
    an = {"k8s.v1.cni.cncf.io/networks": ",".join(nets)} if nets else {}
    return dict(apiVersion="v1", kind="Pod", metadata=dict(name=name, namespace=NS, annotations=an, labels=dict(app="bench", tier="x")), spec=dict(nodeName="bench-node", automountServiceAccountToken=False, terminationGracePeriodSeconds=0,
        containers=[dict(name="c%d" % i, image="app:%d" % i, command=["/app"], env=[dict(name="E%d" % j, value="value-%d" % j) for j in range(8)], volumeMounts=[dict(name="v", mountPath="/v")], resources=dict(requests=dict(cpu="100m", memory="64Mi"))) for i in range(2)], volumes=[dict(name="v", emptyDir={})]))

class Meta:
    def __init__(self, a):
        self.a = a; self.api = Api(a.kubeconfig); self.st = W + "/state-meta"; self.run = W + "/run"; self.dpid = 0; self.inc = []
        shutil.rmtree(self.st, ignore_errors=True); shutil.rmtree(self.run, ignore_errors=True); shutil.rmtree(W + "/jobs", ignore_errors=True); os.makedirs(self.st + "/cni"); os.makedirs(self.run)
        self.watch = {k: int(v) for k, v in (x.split("=") for x in a.watch)}
        v = json.loads(self.api.k("config", "view", "--raw", "--minify", "-o", "json")); cl = v["clusters"][0]["cluster"]; self.server = cl["server"]
        import base64
        ca = base64.b64decode(cl["certificate-authority-data"]).decode() if "certificate-authority-data" in cl else open(cl["certificate-authority"]).read()
        self.token = self.api.k("-n", NS, "create", "token", "meta", "--duration", "8h").strip(); self.ca = ca
        self.kc = W + "/meta.kubeconfig"
        json.dump(dict(apiVersion="v1", kind="Config", clusters=[dict(name="c", cluster={"server": self.server, "certificate-authority-data": base64.b64encode(ca.encode()).decode()})], users=[dict(name="u", user=dict(token=self.token))], contexts=[dict(name="x", context=dict(cluster="c", user="u"))], **{"current-context": "x"}), open(self.kc, "w"))
        self.binp = os.path.abspath(a.bin); self.cni = os.path.abspath(a.cni_path)
        self.sub = {"KUBECONFIG": self.kc, "CNI": self.cni, "STATE": self.st, "RUN": self.run, "BIN": os.path.dirname(self.binp), "DEFAULT": json.dumps(conf_bridge("default", "cbdef", 88, self.st)), "CONF": self.run + "/daemon.json"}
        self.conf = self.ren(open(a.conf).read())
    def ren(self, s):
        for k, v in self.sub.items(): s = s.replace("@%s@" % k, v)
        return s
    def daemon_up(self):
        if not self.a.daemon: return
        if self.a.daemon_conf: open(self.sub["CONF"], "w").write(self.ren(open(self.a.daemon_conf).read()))
        for x in self.a.render:
            src, dst = x.split("=", 1); dst = self.ren(dst); os.makedirs(os.path.dirname(dst), exist_ok=True); open(dst, "w").write(self.ren(open(src).read()))
        if self.a.in_cluster:
            d = "/var/run/secrets/kubernetes.io/serviceaccount"
            if os.path.exists(d): raise SystemExit(d + " is there already, and --in-cluster would replace it")
            os.makedirs(d)
            for f, c in (("token", self.token), ("ca.crt", self.ca)): open(d + "/" + f, "w").write(c); self.inc.append(d + "/" + f)
        h, p = re.match(r"https://([^:/]+):?(\d*)", self.server).groups()
        env = dict(PATH="/usr/sbin:/usr/bin:/sbin:/bin", KUBERNETES_SERVICE_HOST=h, KUBERNETES_SERVICE_PORT=p or "443", HOME="/root", **dict(x.split("=", 1) for x in self.a.daemon_env))
        self.cg = cg_ok()
        def pre():
            if self.cg: open(CG + "/cgroup.procs", "w").write(str(os.getpid()))
        self.dlog = open(W + "/daemon.log", "w")
        self.dp = subprocess.Popen(["/bin/sh", "-c", self.ren(self.a.daemon)], env=env, preexec_fn=pre, stdout=self.dlog, stderr=self.dlog, cwd=self.run); self.dpid = self.dp.pid
        s = self.ren(self.a.daemon_ready); t = time.monotonic()
        while time.monotonic() - t < 30:
            if self.dp.poll() is not None: raise SystemExit("daemon died:\n" + open(W + "/daemon.log").read()[-3000:])
            if not s: time.sleep(3); break
            try: c = socket.socket(socket.AF_UNIX); c.connect(s); c.close(); break
            except OSError: time.sleep(0.02)
        self.ready = time.monotonic() - t; time.sleep(2)
    def daemon_down(self):
        if self.dpid:
            self.dp.terminate()
            try: self.dp.wait(5)
            except subprocess.TimeoutExpired: self.dp.kill(); self.dp.wait()
            self.dpid = 0
        for f in self.inc:
            if os.path.exists(f): os.unlink(f)
        if self.inc:
            for d in ("/var/run/secrets/kubernetes.io/serviceaccount", "/var/run/secrets/kubernetes.io", "/var/run/secrets"):
                try: os.rmdir(d)
                except OSError: break
        self.inc = []
    def dcpu(self): return (cg_cpu() if self.cg else pid_cpu(self.dpid)) if self.dpid else 0
    def snap(self): return dict(api=self.api.counters(), d=self.dcpu(), w={k: pid_cpu(v) for k, v in self.watch.items()}, t=time.monotonic())
    def pods(self, tag, n, nets):
        l = self.api.apply([pod("%s-%d" % (tag, i), nets) for i in range(n)]); time.sleep(1.0 + n * 0.005)
        return [(p["metadata"]["name"], p["metadata"]["uid"]) for p in l]
    def nets(self, kind, c): return [{"macvlan": "mv", "bridge": "br"}[kind] + str(i) for i in range(c)]
    def batch(self, cmd, pods, pre="cb-"):
        j = Jobs()
        for i, (n, uid) in enumerate(pods):
            j.add("%s-%d" % (cmd, i), self.binp, self.conf, cnienv(cmd, "%s-sandbox" % n, "%s%d" % (pre, i), "eth0", self.cni, "IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s-sandbox;K8S_POD_UID=%s" % (NS, n, n, uid)))
        return j
    def rm(self, tag): self.api.k("-n", NS, "delete", "pods", "-l", "app=bench", "--grace-period=0", "--force", "--wait=false")
    def idle(self, secs=3.0):
        """CPU ms per second that daemon and watched processes use when nothing is asked of them"""
        a = (self.dcpu(), {k: pid_cpu(v) for k, v in self.watch.items()}, time.monotonic()); time.sleep(secs); dt = time.monotonic() - a[2]
        return (self.dcpu() - a[0]) / 1e6 / dt, {k: (pid_cpu(v) - a[1][k]) / 1e6 / dt for k, v in self.watch.items()}

    def phase(self, cmd, pods, n):
        """sequential ADD or DEL of n pods, --pace seconds apart, and everything counted over the whole window"""
        wait_quiet(); idle, widle = self.idle(); s0 = self.snap(); R = []; f = Foreign(); f.a = cpustat(); f.own0 = time.process_time() + sum(os.times()[2:4])
        for i in range(0, n):
            j = Jobs(); full = self.batch(cmd, pods[i:i + 1], pre="cb-"); full.l = [full.l[0].replace("/run/netns/cb-0\t", "/run/netns/cb-%d\t" % i)]
            R += list(full.run().values()); time.sleep(self.a.pace)
        f.__exit__(); t1 = time.monotonic(); d1 = self.dcpu(); w1 = {k: pid_cpu(v) for k, v in self.watch.items()}; dt = t1 - s0["t"]
        time.sleep(0.5); c1 = self.api.counters()
        dc = max(0.0, (d1 - s0["d"]) / 1e6 - idle * dt) / n
        api = {k: round(v / n, 2) for k, v in sorted((c1 - s0["api"]).items()) if v / n >= 0.02}
        bad = [r for r in R if r["rc"]]
        fs = f.share((d1 - s0["d"]) / 1e9 + sum(w1[k] - s0["w"][k] for k in w1) / 1e9)
        return dict(foreign=fs, wall=med([r["wall"] for r in R]), p95=pct([r["wall"] for r in R], .95), min=min(r["wall"] for r in R), cpu_client=med([r["cpu"] for r in R]), cpu_daemon=dc, cpu=med([r["cpu"] for r in R]) + dc, rss=med([r["rss"] for r in R]) / 1024,
                    watch={k: max(0.0, ((w1[k] - s0["w"][k]) / 1e6 - widle[k] * dt) / n) for k in w1}, api=api, requests=round(sum(v for k, v in api.items()), 2), fails=len(bad), err=errtext(bad[0]) if bad else "", idle_cpu_ms_per_s=idle)

    def rest(self):
        a = self.a; n = a.iters; res = dict(name=a.name, size={os.path.basename(self.binp): os.path.getsize(self.binp)}, seq=[], par=[])
        try:
            host_up(); self.daemon_up()
            if self.dpid: res["daemon_start"] = dict(ready_s=self.ready, rss_kb=status(self.dpid, "VmRSS"), hwm_kb=status(self.dpid, "VmHWM"), threads=status(self.dpid, "Threads")); print("daemon ready %.2f s rss %.1f MiB hwm %.1f MiB" % (self.ready, res["daemon_start"]["rss_kb"] / 1024, res["daemon_start"]["hwm_kb"] / 1024))
            # warm-up, not counted
            mkns(2); p = self.pods("warm", 2, ["mv0", "br0"]); self.batch("ADD", p).run(); r = self.batch("DEL", p).run(); rmns(2); self.rm("warm")
            if any(x["rc"] for x in r.values()): print("warm-up failed:", [errtext(x) for x in r.values()])
            for kind in [k for k in a.kinds.split(",") if k]:
                for c in [int(x) for x in a.counts.split(",") if x != ""]:
                    if c == 0 and kind != a.kinds.split(",")[0]: continue
                    tag = "%s%d" % (kind[:2], c); pods = self.pods(tag, n, self.nets(kind, c)); mkns(n)
                    A = self.phase("ADD", pods, n); ok = self.check(pods, c); D = self.phase("DEL", pods, n)
                    for attempt in range(a.retries):
                        if max(A["foreign"], D["foreign"]) < 0.10: break
                        self.rm(tag); time.sleep(1); pods = self.pods(tag + "r%d" % attempt, n, self.nets(kind, c))
                        A2 = self.phase("ADD", pods, n); ok = self.check(pods, c); D2 = self.phase("DEL", pods, n)
                        if A2["foreign"] < A["foreign"]: A = A2
                        if D2["foreign"] < D["foreign"]: D = D2
                    # second round under taskstats: peak RSS per process
                    rss = peak_rss(lambda: self.batch("ADD", pods[:8]).run(), {x[:15] for x in os.listdir(self.cni)} | {os.path.basename(self.binp)[:15]}); self.batch("DEL", pods[:8]).run()
                    rmns(n); self.rm(tag)
                    e = dict(kind=kind, attach=c, add=A, dele=D, verified=ok, procs={k: dict(per_add=v[0] / min(n, 8), rss_mib=v[1] / 1024) for k, v in rss.items() if v[0] >= min(n, 8)}, daemon_rss_mib=status(self.dpid, "VmRSS") / 1024 if self.dpid else 0, daemon_hwm_mib=status(self.dpid, "VmHWM") / 1024 if self.dpid else 0)
                    res["seq"].append(e); self.show(e)
            for P in [int(x) for x in a.parallel.split(",") if x]:
                wait_quiet(); m = max(a.par_pods, P * 2); tag = "par%d" % P; pods = self.pods(tag, m, ["mv%d" % i for i in range(a.par_attach)]); mkns(m); e = dict(parallel=P, pods=m, attach=a.par_attach)
                for cmd in ("ADD", "DEL"):
                    s0 = self.snap(); j = self.batch(cmd, pods); R = list(j.run(P).values()); wall = (max(r["t0"] / 1e6 + r["wall"] for r in R) - min(r["t0"] / 1e6 for r in R)) / 1e3
                    d1 = self.dcpu(); bad = [r for r in R if r["rc"]]; time.sleep(3); c1 = self.api.counters()
                    if cmd == "ADD": ok = self.check(pods, a.par_attach)
                    e[cmd] = dict(wall_s=wall, pods_per_s=(m - len(bad)) / wall, p50=med([r["wall"] for r in R]), p99=pct([r["wall"] for r in R], .99), cpu=sum(r["cpu"] for r in R) / m + (d1 - s0["d"]) / 1e6 / m, requests=round(sum((c1 - s0["api"]).values()) / m, 2), fails=len(bad), err=errtext(bad[0]) if bad else "")
                e["verified"] = ok; e["daemon_rss_mib"] = status(self.dpid, "VmRSS") / 1024 if self.dpid else 0; e["daemon_hwm_mib"] = status(self.dpid, "VmHWM") / 1024 if self.dpid else 0
                rmns(m); self.rm(tag); res["par"].append(e)
                print("parallel %2d: %3d pods x %d  ADD %6.1f pods/s p50 %.0f p99 %.0f ms cpu %.1f ms/pod req %.1f fails %d | DEL %6.1f pods/s p50 %.0f p99 %.0f cpu %.1f req %.1f fails %d | status written %d/%d | daemon rss %.0f hwm %.0f MiB %s" % (P, m, a.par_attach, e["ADD"]["pods_per_s"], e["ADD"]["p50"], e["ADD"]["p99"], e["ADD"]["cpu"], e["ADD"]["requests"], e["ADD"]["fails"], e["DEL"]["pods_per_s"], e["DEL"]["p50"], e["DEL"]["p99"], e["DEL"]["cpu"], e["DEL"]["requests"], e["DEL"]["fails"], e["verified"], m, e["daemon_rss_mib"], e["daemon_hwm_mib"], (e["ADD"]["err"] or e["DEL"]["err"])[:200]), flush=True)
        finally:
            self.daemon_down(); host_down(); self.rm("")
        if a.json: json.dump(res, open(a.json, "w"), indent=1)
        return res
    def check(self, pods, c):
        """how many pods have a network-status with 1 + c entries"""
        names = {p[0] for p in pods}; ok = 0
        for p in json.loads(self.api.k("-n", NS, "get", "pods", "-o", "json"))["items"]:
            if p["metadata"]["name"] in names and len(json.loads(p["metadata"].get("annotations", {}).get("k8s.v1.cni.cncf.io/network-status", "[]"))) == c + 1: ok += 1
        return ok
    def show(self, e):
        A, D = e["add"], e["dele"]
        print("%-8s N=%-2d ADD %7.1f ms (min %.1f p95 %.1f) cpu %6.1f (client %.1f daemon %.1f) req %.1f | DEL %7.1f ms cpu %6.1f (client %.1f daemon %.1f) req %.1f | %s | fails %d/%d status %d foreign %.0f/%.0f%%" % (e["kind"], e["attach"], A["wall"], A["min"], A["p95"], A["cpu"], A["cpu_client"], A["cpu_daemon"], A["requests"], D["wall"], D["cpu"], D["cpu_client"], D["cpu_daemon"], D["requests"], " ".join("%s+%.1f/%.1fms" % (k, A["watch"][k], D["watch"][k]) for k in A["watch"]), A["fails"], D["fails"], e["verified"], A["foreign"] * 100, D["foreign"] * 100))
        print("         ADD api %s | DEL api %s" % (A["api"], D["api"])); print("         procs " + ", ".join("%s x%.1f %.1f MiB" % (k, v["per_add"], v["rss_mib"]) for k, v in e["procs"].items()) + (" daemon %.1f (hwm %.1f) MiB" % (e["daemon_rss_mib"], e["daemon_hwm_mib"]) if self.dpid else ""), (A["err"] or D["err"])[:300], flush=True)

def do_apifloor(a):
    """TLS handshake, GET, PATCH pod/status on one warm HTTP/1.1 connection with a bearer token"""
    import http.client, ssl, base64, urllib.parse
    kc=json.load(open(W + "/meta.kubeconfig")); c=kc["clusters"][0]["cluster"]; tok=kc["users"][0]["user"]["token"]; u=urllib.parse.urlparse(c["server"])
    ctx=ssl.create_default_context(cadata=base64.b64decode(c["certificate-authority-data"]).decode()); H={"Authorization":"Bearer "+tok,"Accept":"application/json"}
    med=lambda v: statistics.median(v)*1e3
    hs=[]
    for i in range(100):
        t=time.perf_counter(); k=http.client.HTTPSConnection(u.hostname,u.port,context=ctx); k.connect(); hs.append(time.perf_counter()-t); ver=k.sock.version(); k.close()
    k=http.client.HTTPSConnection(u.hostname,u.port,context=ctx); k.connect()
    def req(m,p,b=None,ct="application/json"):
        t=time.perf_counter(); k.request(m,p,b,dict(H,**({"Content-Type":ct} if b else {}))); r=k.getresponse(); d=r.read(); return time.perf_counter()-t,r.status,d
    P="/api/v1/namespaces/cnibench/pods"
    pod=dict(apiVersion="v1",kind="Pod",metadata=dict(name="floor-0"),spec=dict(nodeName="floor-node",automountServiceAccountToken=False,containers=[dict(name="c",image="x")]))
    print(req("POST",P,json.dumps(pod))[1])
    g=[];pt=[];nd=[]
    for i in range(200):
        t,s,d=req("GET",P+"/floor-0"); g.append(t); assert s==200
        t,s,d2=req("GET","/apis/k8s.cni.cncf.io/v1/namespaces/cnibench/network-attachment-definitions/mv0"); nd.append(t); assert s==200
        t,s,d3=req("PATCH",P+"/floor-0/status",json.dumps({"metadata":{"annotations":{"k8s.v1.cni.cncf.io/network-status":"x"*800+str(i)}}}),"application/merge-patch+json"); pt.append(t); assert s==200,(s,d3)
    req("DELETE",P+"/floor-0",json.dumps(dict(gracePeriodSeconds=0)))
    if a.json: json.dump(dict(tls=med(hs),get_pod=med(g),get_nad=med(nd),patch=med(pt)),open(a.json,"w"))
    print("%s handshake %.2f ms (min %.2f)  GET pod %.2f (min %.2f)  GET nad %.2f (min %.2f)  PATCH pod/status %.2f (min %.2f)"%(ver,med(hs),min(hs)*1e3,med(g),min(g)*1e3,med(nd),min(nd)*1e3,med(pt),min(pt)*1e3))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); s = p.add_subparsers(dest="cmd", required=True)
    x = s.add_parser("plugins"); x.add_argument("--cni-path", required=True); x.add_argument("--iters", type=int, default=40); x.add_argument("--only", default=""); x.add_argument("--json")
    x = s.add_parser("exec"); x.add_argument("--iters", type=int, default=200); x.add_argument("--json"); x.add_argument("bins", nargs="*")
    x = s.add_parser("setup"); x.add_argument("--kubeconfig", required=True)
    x = s.add_parser("clean"); x = s.add_parser("apifloor"); x.add_argument("--json")
    x = s.add_parser("floor"); x.add_argument("--counts", default="1,4,16"); x.add_argument("--iters", type=int, default=40); x.add_argument("--json")
    x = s.add_parser("meta")
    for o in ("name", "bin", "conf", "cni-path", "kubeconfig"): x.add_argument("--" + o, required=True)
    x.add_argument("--daemon", default=""); x.add_argument("--daemon-conf", default=""); x.add_argument("--daemon-ready", default=""); x.add_argument("--daemon-env", action="append", default=[]); x.add_argument("--render", action="append", default=[]); x.add_argument("--in-cluster", action="store_true")
    x.add_argument("--kinds", default="macvlan,bridge"); x.add_argument("--counts", default="0,1,2,4,8,16"); x.add_argument("--iters", type=int, default=30); x.add_argument("--pace", type=float, default=0.15)
    x.add_argument("--parallel", default="1,4,16,64"); x.add_argument("--par-pods", type=int, default=128); x.add_argument("--par-attach", type=int, default=2); x.add_argument("--watch", action="append", default=[]); x.add_argument("--json")
    for x in s.choices.values(): x.add_argument("--quiet", type=int, default=0, help="wait up to so many seconds for an idle machine before each batch"); x.add_argument("--retries", type=int, default=2, help="repeat a batch in which other processes used > 10 %% of the machine")
    a = p.parse_args(); global QUIET; QUIET = a.quiet
    if os.geteuid(): raise SystemExit("needs root")
    launcher()
    if a.cmd == "plugins": do_plugins(a)
    elif a.cmd == "exec": do_exec(a)
    elif a.cmd == "setup": do_setup(a)
    elif a.cmd == "floor": do_floor(a)
    elif a.cmd == "apifloor": do_apifloor(a)
    elif a.cmd == "clean": host_down()
    else: Meta(a).rest()
main()
