// French catalogue, and the definition of which messages exist: the other
// catalogues are typed after this one, so a message missing there is a type error.

const plural = (count: number, one: string, many: string): string => (count < 2 ? one : many)

export const fr = {
  languageName: 'Français',
  switchLanguage: 'Langue',

  homeTitle: 'Visioconférences par simple lien',
  homeLede:
    'Créez une conférence, envoyez son lien par WhatsApp. Vos invités l’ouvrent sur leur téléphone : rien à installer, pas de compte.',
  titleLabel: 'Sujet (facultatif)',
  titlePlaceholder: 'Réunion de famille',
  create: 'Créer une conférence',
  creating: 'Création…',
  homePointPhone: 'Pensé pour le téléphone et la 3G',
  homePointListen: 'Un toucher pour écouter, sans aucune autorisation',
  homePointAccount: 'Sans compte et sans installation',
  createdTitle: 'Votre conférence est prête',
  createdHint: 'Envoyez ce lien à vos invités, puis entrez.',
  conferenceLink: 'Lien de la conférence',
  copyLink: 'Copier le lien',
  copied: 'Lien copié',
  copyByHand: 'Copie impossible ici : sélectionnez le lien et copiez-le.',
  shareWhatsApp: 'Envoyer par WhatsApp',
  shareText: (link: string) => `Rejoignez la conférence : ${link}`,
  showQr: 'Code QR',
  qrLabel: 'Code QR du lien de la conférence',
  enter: 'Entrer dans la conférence',

  inviterWrites: 'La personne qui vous invite écrit :',
  quoted: (words: string) => `« ${words} »`,
  invited: 'Vous êtes invité à une conférence',
  untitled: 'Conférence',
  listen: 'Écouter',
  listenHint: 'Sans micro ni caméra. Aucune autorisation demandée.',
  joinWithDevices: 'Participer avec micro ou caméra',
  speakTitle: 'Avant d’entrer',
  backToListen: 'Retour',
  yourName: 'Votre nom',
  namePlaceholder: 'Awa Traoré',
  nameHint: 'Les autres participants le verront.',
  nameNeeded: 'Écrivez votre nom pour participer.',
  turnOnMicrophone: 'Activer le micro',
  turnOffMicrophone: 'Couper le micro',
  turnOnCamera: 'Activer la caméra',
  turnOffCamera: 'Couper la caméra',
  microphone: 'Micro',
  camera: 'Caméra',
  askingPermission: 'Votre navigateur demande l’autorisation : touchez « Autoriser ».',
  microphoneWorks: 'Parlez : la barre doit bouger.',
  microphoneLevel: 'Niveau du micro',
  cameraPreview: 'Aperçu de votre caméra',
  cameraIsOff: 'Caméra coupée',
  devicesOptional: 'Les deux sont facultatifs : vous pourrez les activer pendant la conférence.',
  join: 'Entrer',

  lowData: 'Éco data',
  lowDataHint: 'Le son sans les images : vous recevez environ 45 Mo par heure au plus.',
  lowDataOn: 'Éco data activé : le son continue, les images s’arrêtent.',
  lowDataOff: 'Éco data désactivé : les images reviennent.',
  dataSpent: (size: string) => `Données utilisées : ${size}`,

  cancel: 'Annuler',
  joining: 'Connexion…',
  loadingCall: 'Chargement du son et de l’image…',
  you: 'vous',
  nobodyOnStage: 'Personne ne parle pour l’instant',
  nobodyOnStageHint: 'Le son arrivera ici dès que quelqu’un prendra la parole.',
  aloneHint: 'Vous êtes seul pour l’instant. Envoyez le lien à vos invités.',
  peopleCount: (count: number) => plural(count, `${count} personne`, `${count} personnes`),
  moreTiles: (count: number) => `+ ${count} ${plural(count, 'autre', 'autres')}`,
  listening: 'Vous écoutez',
  guest: 'Invité',
  speakingNow: 'parle',
  microphoneOff: 'micro coupé',
  screenOf: (name: string) => `Écran de ${name}`,
  leave: 'Quitter',
  share: 'Inviter',
  shareTitle: 'Inviter',
  close: 'Fermer',
  keyboardHelp: 'Raccourcis clavier',
  shortcutMicrophone: 'Micro',
  shortcutCamera: 'Caméra',
  shortcutHelp: 'Cette aide',
  nameToSpeakTitle: 'Votre nom',
  nameToSpeakHint: 'Il s’affichera quand vous prendrez la parole.',
  continue: 'Continuer',
  upgrading: 'Passage en intervenant…',
  tapToHear: 'Touchez pour entendre la conférence',
  reconnecting: 'Connexion perdue. Nous la rétablissons…',
  reconnected: 'Connexion rétablie.',
  devicesStayedOff: 'Micro et caméra restent coupés : touchez leur bouton pour les rallumer.',
  leftTitle: 'Vous avez quitté la conférence',
  rejoin: 'Rejoindre de nouveau',
  retry: 'Réessayer',
  reload: 'Recharger la page',
  goHome: 'Créer une conférence',
  dismiss: 'Compris',

  errorConferenceNotFound: 'Cette conférence n’existe pas ou est terminée. Vérifiez le lien.',
  errorConferenceFull: 'Le serveur ne peut accueillir personne de plus pour l’instant.',
  errorInvalidTitle: 'Ce sujet ne convient pas. Choisissez-en un plus court.',
  errorInvalidName: 'Ce nom ne convient pas. Choisissez-en un autre, plus court.',
  errorTooManyRequests: 'Trop de demandes d’un coup. Attendez quelques secondes.',
  errorUnreachable: 'Le serveur ne répond pas. Vérifiez votre connexion Internet.',
  errorServer: 'Le serveur a rencontré un problème. Réessayez dans un instant.',
  errorEngineLoad: 'Le chargement a échoué. La connexion est peut-être trop faible.',
  errorMediaConnection:
    'Le son et l’image n’ont pas pu passer. Votre réseau les bloque peut-être : essayez un autre réseau.',
  errorRejected: 'Votre accès a expiré. Entrez de nouveau.',
  errorConnectionLost: 'La connexion a été perdue.',
  errorRemoved: 'Un modérateur vous a retiré de la conférence.',
  errorEnded: 'La conférence est terminée.',
  errorJoinedElsewhere: 'Vous avez rejoint la conférence depuis un autre appareil.',
  errorServerStopping: 'Le serveur redémarre. Vous pouvez revenir tout de suite.',

  microphoneDenied: 'Le micro est bloqué pour ce site. La conférence continue sans lui.',
  cameraDenied: 'La caméra est bloquée pour ce site. La conférence continue sans elle.',
  microphoneMissing: 'Aucun micro trouvé sur cet appareil.',
  cameraMissing: 'Aucune caméra trouvée sur cet appareil.',
  microphoneBusy: 'Le micro est utilisé par une autre application. Fermez-la, puis réessayez.',
  cameraBusy: 'La caméra est utilisée par une autre application. Fermez-la, puis réessayez.',
  captureUnsupported:
    'Ce navigateur ne donne pas accès au micro et à la caméra. Vous pouvez écouter ; pour parler, ouvrez le lien dans Chrome, Firefox ou Safari.',
  captureInAppBrowser:
    'Cette application bloque le micro et la caméra. Pour parler, ouvrez le lien dans votre navigateur (menu ⋮, « Ouvrir dans le navigateur »).',
  unblockChrome: 'Touchez l’icône à gauche de l’adresse, puis « Autorisations », et autorisez.',
  unblockFirefox: 'Touchez l’icône à gauche de l’adresse, et retirez le blocage.',
  unblockSafari: 'Touchez « aA » à côté de l’adresse, puis « Réglages du site web », et autorisez.',
  unblockOther: 'Ouvrez les réglages de ce site dans votre navigateur, et autorisez.',
}

/** A catalogue of messages in one language: plain texts, and functions of their parameters. */
export type Catalogue = {
  readonly [Key in keyof typeof fr]: (typeof fr)[Key] extends (...args: infer Args) => string
    ? (...args: Args) => string
    : string
}

/** The messages without parameters, the ones an error or a notice may name. */
export type TextKey = {
  [Key in keyof Catalogue]: Catalogue[Key] extends string ? Key : never
}[keyof Catalogue]
