{{/* Values that contradict each other: one sentence with the fix. */}}
{{- define "manifold.refusals" -}}
{{- $network := .Values.defaultNetwork -}}
{{- $node := .Values.node -}}
{{- $host := include "manifold.host" . | fromYaml -}}
{{- if and (ne $network.source "existing") $network.configuration -}}
{{- fail (printf "`defaultNetwork.configuration` is only for `source: existing`, but the source is `%s`; set `defaultNetwork.source=existing`, or remove the configuration" $network.source) -}}
{{- end -}}
{{- if and (ne $network.source "builtIn") $network.builtIn.clusterCidrs -}}
{{- fail (printf "`defaultNetwork.builtIn.clusterCidrs` is only for `source: builtIn`, but the source is `%s`; set `defaultNetwork.source=builtIn`, or empty the list" $network.source) -}}
{{- end -}}
{{- if and (eq $network.source "builtIn") (not $node.hostNetwork) -}}
{{- fail "`node.hostNetwork` is false, but the built-in default network needs it for its routes; set `node.hostNetwork=true`, or another `defaultNetwork.source`" -}}
{{- end -}}
{{- if and (not $node.hostNetwork) (ne (toString $node.podAnnotations) "true") -}}
{{- fail "`node.hostNetwork` is false and `node.podAnnotations` is not true: a node whose runtime passes no annotations could not start, after a day without power, the pod that renews its credentials; set `node.hostNetwork=true`, or `node.podAnnotations=true` where every node runs containerd" -}}
{{- end -}}
{{- range .Values.networks.defaultNetworks -}}
{{- if or (eq . $network.name) (eq . (printf "%s/%s" $.Release.Namespace $network.name)) -}}
{{- fail (printf "`networks.defaultNetworks` names `%s`, which every pod already has; remove it from the list" .) -}}
{{- end -}}
{{- if and (contains "/" .) (not (hasPrefix "/" .)) -}}
{{- fail (printf "`networks.defaultNetworks` names `%s`; because of its `/` it would be a file of the nodes, so no pod would start; name a definition of `%s` without the namespace, or set the absolute path of a file" . $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- if and $node.apiServer.tlsServerName (not $node.apiServer.address) -}}
{{- fail "`node.apiServer.tlsServerName` is set, but `node.apiServer.address` is empty; set the address as well, such as https://10.0.0.1:6443" -}}
{{- end -}}
{{- if gt (int $node.limits.delegateSeconds) (int $node.limits.addSeconds) -}}
{{- fail (printf "`node.limits.delegateSeconds` is %d, more than the %d of `node.limits.addSeconds`, so one plugin could use up a whole ADD; lower it, or raise `addSeconds`" (int $node.limits.delegateSeconds) (int $node.limits.addSeconds)) -}}
{{- end -}}
{{- $folders := dict "node.binDir" $host.binDir "node.confDir" $host.confDir "node.stateDir" $host.stateDir -}}
{{- range $one, $path := $folders -}}
{{- range $other, $inner := $folders -}}
{{- if and (ne $one $other) (hasPrefix (printf "%s/" (clean $path)) (printf "%s/" (clean $inner))) -}}
{{- fail (printf "`%s` (%s) is inside `%s` (%s), but each folder is mounted by itself; use separate folders" $other $inner $one $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if has (clean (dir $node.stateDir)) (list "/" "/var" "/var/lib" "/etc" "/run" "/usr" "/opt" "/home" "/root") -}}
{{- fail (printf "`node.stateDir` is `%s`, but the folder above it, which is mounted, belongs to the whole host; use one such as /var/lib/cni/manifold" $node.stateDir) -}}
{{- end -}}
{{- if and .Values.admission.clientNames (not .Values.admission.clientAuthority) -}}
{{- fail "`admission.clientNames` is set, but `admission.clientAuthority` is empty, so no certificate is required; set the ConfigMap with the authority, or empty the list" -}}
{{- end -}}
{{- if and .Values.networkPolicy.egress (not .Values.networkPolicy.enabled) -}}
{{- fail "`networkPolicy.egress` is set, but `networkPolicy.enabled` is false; set `networkPolicy.enabled=true`, or `networkPolicy.egress=false`" -}}
{{- end -}}
{{- if and .Values.uninstall.leave (not .Values.uninstall.hook) -}}
{{- fail "`uninstall.leave` is for the hook, but `uninstall.hook` is false; set `uninstall.hook=true`, or run `manifold uninstall --leave` on each node" -}}
{{- end -}}
{{- if has .Values.networks.namespaceIsolation (list false) -}}
{{- if ne (toJson .Values.networks.globalNamespaces) (toJson (list "default")) -}}
{{- fail "`networks.globalNamespaces` is set, but `networks.namespaceIsolation` is false, which makes every namespace global; set `namespaceIsolation=true`, or remove the list" -}}
{{- end -}}
{{- end -}}
{{- end -}}
