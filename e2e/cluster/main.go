// Command cluster is a whole Kubernetes control plane, and a node, in one executable: the test beds' cluster.
//
// Linked together, the components share one runtime and one copy of client-go, and one cached file is all that a
// test needs. The first argument names the component, or the name under which the executable is called does:
//
//	cluster kube-apiserver --help
//	ln -s cluster kubectl; ./kubectl get nodes
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// Imported for what they register: JSON logs, and client-go's and the version's metrics.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// A component runs to its end and answers with the exit code. args[0] is its own name.
type component struct {
	name string
	run  func(args []string) int
}

func components() []component {
	return []component{
		{"etcd", func(args []string) int { etcdmain.Main(args); return 0 }},
		{"kube-apiserver", command(apiserver.NewAPIServerCommand)},
		{"kube-controller-manager", command(controllers.NewControllerManagerCommand)},
		{"kube-scheduler", command(func() *cobra.Command { return scheduler.NewSchedulerCommand() })},
		{"kubelet", command(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })},
		{"kube-proxy", command(proxy.NewProxyCommand)},
		{"kubectl", runKubectl},
	}
}

// The command is made only when it is asked for: making one registers flags, and two of them would clash.
func command(construct func() *cobra.Command) func([]string) int {
	return func(args []string) int {
		os.Args = args // Cobra reads them there.
		return cli.Run(construct())
	}
}

// kubectl prints its errors, and picks its exit codes, in a way of its own.
func runKubectl(args []string) int {
	os.Args = args
	kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
	return 0
}

func find(all []component, name string) (component, bool) {
	at := slices.IndexFunc(all, func(c component) bool { return c.name == name })
	if at < 0 {
		return component{}, false
	}
	return all[at], true
}

func usage(to io.Writer, all []component) {
	fmt.Fprintln(to, "usage: cluster COMPONENT [flags], where COMPONENT is one of:")
	for _, c := range all {
		fmt.Fprintln(to, "  "+c.name)
	}
}

func main() {
	all := components()
	if c, ok := find(all, filepath.Base(os.Args[0])); ok {
		os.Exit(c.run(os.Args))
	}
	if len(os.Args) < 2 {
		usage(os.Stderr, all)
		os.Exit(2)
	}
	c, ok := find(all, os.Args[1])
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown component `%s`\n", os.Args[1])
		usage(os.Stderr, all)
		os.Exit(2)
	}
	os.Exit(c.run(os.Args[1:]))
}
