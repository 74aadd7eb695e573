{{- define "drkeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters: a CronJob's name may have 52, and ours get "-replicate" behind them. */}}
{{- define "drkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "drkeeper.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "drkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ include "drkeeper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "drkeeper.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "drkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "drkeeper.serviceAccountName" -}}
{{- default (ternary (include "drkeeper.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "drkeeper.configMapName" -}}
{{- default (printf "%s-policy" (include "drkeeper.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "drkeeper.policyPath" -}}/etc/drkeeper/drkeeper.yaml{{- end -}}

{{/*
A Pod that runs one drkeeper command. Takes a dict: root ($), component (a word for labels), args (after --policy FILE),
and, all of them optional: restartPolicy, resources, tmpSizeLimit, sharedMemorySizeLimit, serviceAccountName, token
(whether the account's token is mounted), trigger (for the audit log: "schedule" of what runs by itself), ports (of the
container), probes (text of livenessProbe, readinessProbe), mounts (secretFiles, secretEnv and folders of a component
that needs fewer than the rest).
*/}}
{{- define "drkeeper.podTemplate" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $mounts := .mounts | default (pick $values "secretFiles" "secretEnv" "folders") -}}
metadata:
  labels:
    {{- include "drkeeper.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    drkeeper/policy-digest: {{ $values.policy | sha256sum | trunc 16 | quote }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ default (include "drkeeper.serviceAccountName" $root) .serviceAccountName }}
  automountServiceAccountToken: {{ .token | default false }}
  enableServiceLinks: false
  restartPolicy: {{ .restartPolicy | default "Never" }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: drkeeper
      image: {{ printf "%s:%s" $values.image.repository (default $root.Chart.AppVersion $values.image.tag) | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      # Relative paths in the policy start here.
      workingDir: /etc/drkeeper
      command: [drkeeper]
      args:
        - --policy
        - {{ include "drkeeper.policyPath" $root }}
        {{- range .args }}
        - {{ . | toString | quote }}
        {{- end }}
      env:
        - {name: TMPDIR, value: /tmp}
        - {name: HOME, value: /tmp}
        # In the audit log: who began it, and that nobody did so by hand.
        - {name: DRKEEPER_ACTOR, value: {{ printf "%s/%s" (include "drkeeper.fullname" $root) .component | quote }}}
        {{- with .trigger }}
        - {name: DRKEEPER_TRIGGER, value: {{ . | quote }}}
        {{- end }}
        {{- range $mounts.secretEnv }}
        - name: {{ .name }}
          valueFrom:
            secretKeyRef:
              name: {{ .secret }}
              key: {{ .key }}
              {{- if .optional }}
              optional: true
              {{- end }}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .ports }}
      ports:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .probes }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml (.resources | default $values.resources) | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: policy, mountPath: {{ include "drkeeper.policyPath" $root }}, subPath: drkeeper.yaml, readOnly: true}
        {{- if .sharedMemorySizeLimit }}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- end }}
        {{- range $mounts.secretFiles }}
        - {name: {{ include "drkeeper.secretVolume" .secret }}, mountPath: {{ .path | quote }}, subPath: {{ .key | quote }}, readOnly: true}
        {{- end }}
        {{- range $index, $folder := $mounts.folders }}
        - {name: folder-{{ $index }}, mountPath: {{ $folder.path | quote }}}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ .tmpSizeLimit | default $values.tmp.sizeLimit }}}
    - name: policy
      configMap: {name: {{ include "drkeeper.configMapName" $root }}}
    {{- with .sharedMemorySizeLimit }}
    # PostgreSQL's parallel workers share memory here; a container has 64 MiB of it by default.
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ . }}}
    {{- end }}
    {{- $secrets := list -}}
    {{- range $mounts.secretFiles }}
    {{- $secrets = append $secrets .secret }}
    {{- end }}
    {{- range $secrets | uniq | sortAlpha }}
    - name: {{ include "drkeeper.secretVolume" . }}
      # Owned by root, readable by our group: what libpq and ssh ask of a private key.
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- range $index, $folder := $mounts.folders }}
    - name: folder-{{ $index }}
      {{- if $folder.claim }}
      persistentVolumeClaim: {claimName: {{ $folder.claim }}}
      {{- else }}
      emptyDir: {sizeLimit: {{ $folder.sizeLimit | default $values.tmp.sizeLimit }}}
      {{- end }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* A Secret's name may hold dots and 253 characters, a volume's name neither. */}}
{{- define "drkeeper.secretVolume" -}}
{{- printf "secret-%s-%s" (. | replace "." "-" | trunc 40 | trimSuffix "-") (. | sha256sum | trunc 8) -}}
{{- end -}}

{{/* Where a peer of the network policy is: a namespace, Pods in it, or addresses; any address where it says nothing. */}}
{{- define "drkeeper.peer" -}}
{{- if .cidr -}}
- ipBlock: {cidr: {{ .cidr | quote }}}
{{- else if .namespace -}}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}
  {{- with .podLabels }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/*
How often a Job is tried, and how long. What trying again does not mend ends it at once: usage, a partial point (it is
committed), refused, verification failed, objective missed, key missing (exit codes: README).
*/}}
{{- define "drkeeper.jobLimits" -}}
backoffLimit: {{ .backoffLimit }}
activeDeadlineSeconds: {{ .activeDeadlineSeconds }}
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: drkeeper
        operator: In
        values: [2, 3, 4, 5, 6, 12]
{{- end -}}
