{{/* The beginning of every object's name. */}}
{{- define "parley.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* By what Services and policies know pods: a dict of root and component. */}}
{{- define "parley.selector" -}}
app.kubernetes.io/name: parley
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "parley.labels" -}}
{{ include "parley.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "parley.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The chart's own has a name that nobody gives to one made by hand: on the way from one to the other
helm deletes its own. */}}
{{- define "parley.secret" -}}
{{ .Values.secrets.existingSecret | default (include "parley.ownSecret" .) }}
{{- end -}}

{{- define "parley.ownSecret" -}}
{{ include "parley.name" . }}-keys
{{- end -}}

{{/* The port of a stage's worker. */}}
{{- define "parley.workerPort" -}}
{{ eq . "stt" | ternary 8100 8101 }}
{{- end -}}

{{/* One variable from the Secret: a dict of root, name and optional. */}}
{{- define "parley.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "parley.secret" .root }}
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* Variables that are given as text, in their order. */}}
{{- define "parley.plainEnv" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* What all of Parley's pods have in common: a dict of root, component and values. */}}
{{- define "parley.podSpec" -}}
automountServiceAccountToken: false
# Or a Service called "parley" would set PARLEY_PORT.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "parley.selector" . | nindent 8 }}
volumes:
  - name: data
    emptyDir: {}
  - name: tmp
    emptyDir: {}
  {{- with .values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What all of Parley's containers have in common: a dict of root and values. */}}
{{- define "parley.container" -}}
image: {{ include "parley.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .values.resources | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /var/lib/parley
  - name: tmp
    mountPath: /tmp
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Bytes that Redis may fill: 65 % of its pod's limit. The rest is for buffers, for the pages that change
while it writes its file anew, and for what its allocator loses. */}}
{{- define "parley.redisMemory" -}}
{{- $limit := dig "limits" "memory" "" .Values.redis.resources | toString -}}
{{- if not (regexMatch "^[1-9][0-9]*(Mi|Gi)$" $limit) -}}
{{- fail (printf "redis.resources.limits.memory: %q is no whole number of Mi or Gi, of which maxmemory is made" $limit) -}}
{{- end -}}
{{- $mib := mul (regexFind "^[0-9]+" $limit) (hasSuffix "Gi" $limit | ternary 1024 1) -}}
{{- div (mul $mib 1048576 65) 100 -}}
{{- end -}}

{{/* The names that the Secret must have, as JSON. */}}
{{- define "parley.needed" -}}
{{- $needed := list "PARLEY_API_KEYS" -}}
{{- if or .Values.workers.stt.enabled .Values.workers.tts.enabled -}}
{{- $needed = append $needed "PARLEY_WORKER_KEY" -}}
{{- end -}}
{{- $needed = append $needed (.Values.redis.enabled | ternary "REDIS_PASSWORD" "REDIS_URL") -}}
{{- if .Values.serviceMonitor.enabled -}}
{{- $needed = append $needed "PARLEY_ADMIN_KEY" -}}
{{- end -}}
{{- $needed = concat $needed .Values.gateway.secretEnv -}}
{{- range .Values.workers -}}
{{- if .enabled -}}
{{- $needed = concat $needed .secretEnv -}}
{{- end -}}
{{- end -}}
{{- $needed | uniq | toJson -}}
{{- end -}}

{{/* The secrets without which a gateway starts as well, as JSON. */}}
{{- define "parley.optional" -}}
{{- list "OTEL_EXPORTER_OTLP_HEADERS" "PARLEY_ADMIN_KEY" "PARLEY_AVATAR_KEY" "PARLEY_ICE_SERVERS" "PARLEY_JWT_SECRET" "PARLEY_LLM_KEY" "PARLEY_MODEL_KEYS" "PARLEY_STT_KEY" "PARLEY_TTS_KEY" "PARLEY_TWILIO_TOKEN" "PARLEY_WEBRTC_TOKEN" | toJson -}}
{{- end -}}

{{/* Refuses values that would give pods which do not start, or which anybody may use. */}}
{{- define "parley.check" -}}
{{- $given := .Values.secrets.values -}}
{{- $needed := include "parley.needed" . | fromJsonArray -}}
{{- if and .Values.secrets.existingSecret $given -}}
{{- fail "secrets: give existingSecret or values, not both" -}}
{{- end -}}
{{- if eq .Values.secrets.existingSecret (include "parley.ownSecret" .) -}}
{{- fail (printf "secrets.existingSecret: %s is the chart's own, which helm deletes now; take another name" .Values.secrets.existingSecret) -}}
{{- end -}}
{{- if not .Values.secrets.existingSecret -}}
{{- range $needed -}}
{{- if not (get $given .) -}}
{{- fail (printf "secrets: give values.%s, or name an existingSecret that has %s" . (join ", " $needed)) -}}
{{- end -}}
{{- end -}}
{{- $used := concat $needed (include "parley.optional" . | fromJsonArray) -}}
{{- range $name, $value := $given -}}
{{- if not (has $name $used) -}}
{{- fail (printf "secrets.values.%s: no pod asks for it; a setting has to be in gateway.secretEnv as well" $name) -}}
{{- end -}}
{{- end -}}
{{- if eq (get $given "PARLEY_API_KEYS" | trim) "auto" -}}
{{- fail "secrets.values.PARLEY_API_KEYS: with auto each gateway would have a key of its own" -}}
{{- end -}}
{{- if and .Values.redis.enabled (not (regexMatch "^[A-Za-z0-9_-]{16,}$" (get $given "REDIS_PASSWORD"))) -}}
{{- fail "secrets.values.REDIS_PASSWORD must be 16 letters and digits or more: it is part of a URL" -}}
{{- end -}}
{{- end -}}
{{- range $where, $own := dict "gateway" .Values.gateway "workers.stt" .Values.workers.stt "workers.tts" .Values.workers.tts -}}
{{- range $own.secretEnv -}}
{{- if hasKey $own.env . -}}
{{- fail (printf "%s.secretEnv: %s is in %s.env as well" $where . $where) -}}
{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $own.extraEnv -}}
{{- if has .name $names -}}
{{- fail (printf "%s.extraEnv: %s is there twice" $where .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- $policy := .Values.networkPolicy -}}
{{- if and $policy.enabled $policy.gatewayEgress (not .Values.redis.enabled) (not $policy.redisEgress) -}}
{{- fail "networkPolicy.redisEgress is missing: gateways that may reach gatewayEgress alone do not reach the Redis of REDIS_URL" -}}
{{- end -}}
{{- if gt (int $policy.gatewayUdp.first) (int $policy.gatewayUdp.last) -}}
{{- fail "networkPolicy.gatewayUdp: first is more than last" -}}
{{- end -}}
{{- if and $policy.enabled (get .Values.gateway.env "PARLEY_WEBRTC_ADDRESSES") (not $policy.gatewayUdp) -}}
{{- fail "networkPolicy.gatewayUdp is missing: media for the addresses of PARLEY_WEBRTC_ADDRESSES would be stopped" -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}
{{- if not .Values.ingress.host -}}
{{- fail "ingress.host is missing" -}}
{{- end -}}
{{- if not (get .Values.gateway.env "PARLEY_PROXIES") -}}
{{- fail "gateway.env.PARLEY_PROXIES is missing: the network from which the ingress controller comes, which alone may say who a client is" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.serviceMonitor.enabled) -}}
{{- fail "autoscaling needs serviceMonitor.enabled: it asks for figures by the labels that come with it" -}}
{{- end -}}
{{- range $component, $limits := pick .Values.autoscaling "gateway" "stt" "tts" -}}
{{- if gt (int $limits.minReplicas) (int $limits.maxReplicas) -}}
{{- fail (printf "autoscaling.%s: minReplicas is more than maxReplicas" $component) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.gateway.service.externalTrafficPolicy (eq .Values.gateway.service.type "ClusterIP") -}}
{{- fail "gateway.service.externalTrafficPolicy: a ClusterIP has no traffic from outside" -}}
{{- end -}}
{{- $scaled := .Values.autoscaling.enabled -}}
{{- $admitted := mul .Values.gateway.maxSessions ($scaled | ternary .Values.autoscaling.gateway.maxReplicas .Values.gateway.replicas) -}}
{{- range $stage, $worker := .Values.workers -}}
{{- if $worker.enabled -}}
{{- if lt (int $worker.places) (int $worker.sessions) -}}
{{- fail (printf "workers.%s: places are less than sessions, who may all speak at once" $stage) -}}
{{- end -}}
{{- $carried := mul $worker.sessions ($scaled | ternary (get $.Values.autoscaling $stage).maxReplicas $worker.replicas) -}}
{{- if gt $admitted $carried -}}
{{- fail (printf "gateways take %d conversations (maxSessions for each), workers.%s carries %d (sessions for each): more pods there, or fewer conversations" $admitted $stage $carried) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
